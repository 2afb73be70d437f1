/** A bucket whose objects are made as they are asked for is, to whoever asks, one that holds them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBucketHarness, PREFIX } from '../../support/archive/bucket.ts';
import { GeneratedRecordings } from '../../support/gcs/generated.ts';

const signal = (): AbortSignal => AbortSignal.timeout(120_000);

test('generated recordings are listed, found and verified like those that a bucket holds', async (t) => {
  const [made, held] = [await openBucketHarness({ audits: [] }), await openBucketHarness({ audits: [] })];
  t.after(async () => {
    await made.close();
    await held.close();
  });
  const generated = new GeneratedRecordings({ prefix: `${PREFIX}/`, count: 40, perDay: 7 });
  made.server.generated = generated;
  for (let name = generated.from(''); name !== undefined; name = generated.from(`${name}\0`)) {
    const object = generated.get(name);
    assert.ok(object !== undefined, name);
    held.server.put(name, Buffer.concat(object.parts), { metadata: object.metadata, contentType: object.contentType });
  }
  assert.equal(held.server.names().length, 120);
  const conversationId = generated.recordingAt(20).conversationId;
  for (const query of [{ limit: 200 }, { limit: 9, to: '2024-01-03' }, { limit: 5, conversationId }])
    assert.deepEqual(await made.archive.list(query, signal()), await held.archive.list(query, signal()));
  const shelvesOf = async ({ archive }: typeof made): Promise<readonly string[]> => {
    const shelves: string[] = [];
    for (const range of archive.shelves(signal()))
      for await (const { path, files } of range) shelves.push(`${path} ${files.map(({ file }) => file).join()}`);
    return shelves;
  };
  assert.deepEqual(await shelvesOf(made), await shelvesOf(held));
  assert.ok((await made.archive.find(generated.recordingAt(39), signal())) !== undefined);
  assert.equal(await made.archive.find(generated.recordingAt(40), signal()), undefined);
});
