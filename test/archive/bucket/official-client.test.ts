/** Google's own client against the test server: what it understands and verifies, the server says as Cloud Storage does. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Storage, type Bucket } from '@google-cloud/storage';
import { crc32c, encodeCrc32c } from '../../../src/archive/checksum.ts';
import { keyInEnvironment } from '../../support/archive/bucket.ts';
import { bytesOf } from '../../support/archive/content.ts';
import { startGcsServer, type GcsServer } from '../../support/gcs/server.ts';

const MIB = 1024 * 1024;

async function withBucket(run: (bucket: Bucket, server: GcsServer) => Promise<void>): Promise<void> {
  const key = await keyInEnvironment();
  const server = await startGcsServer({ audits: [], signer: key.signer });
  const storage = new Storage({ apiEndpoint: server.url, projectId: 'project-test' });
  try {
    await run(storage.bucket(server.bucket), server);
    server.assertSound();
  } finally {
    await key.remove();
    await server.close();
  }
}

/** The client's errors carry the status as `code`; some are plain objects. */
function hasCode(code: number): (error: unknown) => boolean {
  return (error) => typeof error === 'object' && error !== null && 'code' in error && Number(error.code) === code;
}

describe('the official client', () => {
  for (const [name, options] of [
    ['in one request', { resumable: false }],
    ['resumable, without chunks', { resumable: true }],
    ['resumable, in chunks', { resumable: true, chunkSize: 256 * 1024 }],
  ] as const) {
    test(`uploads ${name}, and its own checksums agree with the server's`, async () => {
      await withBucket(async (bucket, server) => {
        const bytes = bytesOf(name, MIB + 77);
        const write = bucket.file('a/b c.bin').createWriteStream({
          ...options,
          contentType: 'audio/webm',
          metadata: { metadata: { note: 'kept' }, cacheControl: 'private' },
          preconditionOpts: { ifGenerationMatch: 0 },
          validation: 'crc32c',
        });
        await pipeline(Readable.from([bytes.subarray(0, 300_000), bytes.subarray(300_000)]), write);
        assert.ok(server.store.bytes('a/b c.bin').equals(bytes));
        const [metadata] = await bucket.file('a/b c.bin').getMetadata();
        assert.equal(metadata.crc32c, encodeCrc32c(crc32c(bytes)));
        assert.equal(Number(metadata.size), bytes.length);
        assert.equal(metadata.contentType, 'audio/webm');
        assert.equal(metadata.cacheControl, 'private');
        assert.equal(metadata.metadata?.['note'], 'kept');
      });
    });

    test(`is refused ${name} where the name is taken`, async () => {
      await withBucket(async (bucket, server) => {
        server.put('taken', Buffer.from('first'));
        const write = bucket
          .file('taken')
          .createWriteStream({ ...options, preconditionOpts: { ifGenerationMatch: 0 } });
        await assert.rejects(pipeline(Readable.from([bytesOf('x', 600_000)]), write), hasCode(412));
        assert.equal(server.store.bytes('taken').toString(), 'first');
      });
    });
  }

  test('locks what it uploads, shows until when, and ends an unlocked lock by saying so alone', async () => {
    await withBucket(async (bucket, server) => {
      const file = bucket.file('locked');
      const retention = { mode: 'Unlocked', retainUntilTime: new Date(Date.now() + 86_400_000).toISOString() };
      const save = (): Promise<void> => file.save('x', { resumable: false, metadata: { retention } });
      await assert.rejects(save(), hasCode(400));
      server.store.objectRetention = true;
      await save();
      const [metadata] = await file.getMetadata();
      assert.deepEqual(metadata.retention, retention);
      assert.equal(metadata.retentionExpirationTime, retention.retainUntilTime);
      await assert.rejects(file.delete(), hasCode(403));
      await assert.rejects(file.setMetadata({ retention: null }), hasCode(403));
      await file.setMetadata({ retention: null }, { overrideUnlockedRetention: true });
      await file.delete();
    });
  });

  test('resumes a chunk after one 503, and after a 308 that holds less', async () => {
    await withBucket(async (bucket, server) => {
      const bytes = bytesOf('resumed', 3 * MIB + 5);
      server.fault('chunk', 'return-503-after-256K', 'keep-256K');
      const write = bucket.file('resumed').createWriteStream({
        resumable: true,
        chunkSize: MIB,
        preconditionOpts: { ifGenerationMatch: 0 },
      });
      await pipeline(Readable.from([bytes]), write);
      assert.ok(server.store.bytes('resumed').equals(bytes));
    });
  });

  test('finds nothing where there is nothing, nor in a bucket that is not there', async () => {
    await withBucket(async (bucket) => {
      assert.deepEqual(await bucket.file('nothing').exists(), [false]);
      await assert.rejects(bucket.file('nothing').getMetadata(), hasCode(404));
      await assert.rejects(bucket.storage.bucket('elsewhere').getFiles(), hasCode(404));
    });
  });

  test('composes objects, under conditions, and is told when one fails', async () => {
    await withBucket(async (bucket, server) => {
      const [head, body] = [bytesOf('head', 1000), bytesOf('body', 400_000)];
      server.put('head', head);
      server.put('body', body);
      const sources = [bucket.file('head'), bucket.file('body')];
      const [whole] = await bucket.combine(sources, bucket.file('whole'), { ifGenerationMatch: 0 });
      assert.ok(server.store.bytes('whole').equals(Buffer.concat([head, body])));
      const [metadata] = await whole.getMetadata();
      assert.equal(metadata.componentCount, 2);
      assert.equal(metadata.md5Hash, undefined);
      const again = bucket.combine(sources, bucket.file('whole'), { ifGenerationMatch: 0 });
      await assert.rejects(again, hasCode(412));
      await assert.rejects(
        bucket.combine([bucket.file('gone'), bucket.file('body')], bucket.file('other')),
        hasCode(404),
      );
    });
  });

  test('lists by prefix, folder, start and page, in the order of names', async () => {
    await withBucket(async (bucket, server) => {
      const days = ['2026-03-01', '2026-03-02', '2026-03-03'];
      for (const day of days)
        for (const key of ['A.1', 'B.2', 'C.3']) server.put(`days/${day}/${key}`, Buffer.alloc(0));
      server.put('other', Buffer.from('x'));
      const [files] = await bucket.getFiles({ prefix: 'days/2026-03-02/' });
      assert.deepEqual(
        files.map((file) => file.name),
        ['A.1', 'B.2', 'C.3'].map((key) => `days/2026-03-02/${key}`),
      );
      const [later] = await bucket.getFiles({ prefix: 'days/2026-03-02/', startOffset: 'days/2026-03-02/A.1!' });
      assert.equal(later.length, 2);
      const folders = await bucket.getFiles({ prefix: 'days/', delimiter: '/', autoPaginate: false });
      assert.deepEqual(
        prefixesOf(folders[2]),
        days.map((day) => `days/${day}/`),
      );
      const paged: string[] = [];
      let pages = 0;
      for (
        let query: object | null = { prefix: 'days/', maxResults: 4, autoPaginate: false };
        query !== null;
        pages += 1
      ) {
        const [page, next]: [{ name: string }[], object | null, unknown] = await bucket.getFiles(query);
        paged.push(...page.map((file) => file.name));
        query = next;
      }
      assert.equal(pages, 3);
      assert.deepEqual(
        paged,
        server.names().filter((name) => name.startsWith('days/')),
      );
    });
  });

  test('changes metadata and deletes, under conditions', async () => {
    await withBucket(async (bucket, server) => {
      const { generation } = server.put('staging/a', Buffer.from('x'));
      const file = bucket.file('staging/a');
      await file.setMetadata({ metadata: { note: 'added' } });
      assert.equal(server.store.objects.get('staging/a')?.metadata['note'], 'added');
      await assert.rejects(file.delete({ ifGenerationMatch: Number(generation) + 1 }), hasCode(412));
      await file.delete({ ifGenerationMatch: generation });
      assert.deepEqual(server.names(), []);
      await file.delete({ ignoreNotFound: true });
      await assert.rejects(file.delete(), hasCode(404));
    });
  });

  test('is told of a denied deletion as a missing right', async () => {
    await withBucket(async (bucket, server) => {
      server.put('recordings/C1/R1/recording.webm', Buffer.from('x'));
      server.deny('delete', 'recordings/');
      await assert.rejects(bucket.file('recordings/C1/R1/recording.webm').delete(), hasCode(403));
      const overwrite = bucket.file('recordings/C1/R1/recording.webm').save('y', { resumable: false });
      await assert.rejects(overwrite, hasCode(403));
      assert.equal(server.store.bytes('recordings/C1/R1/recording.webm').toString(), 'x');
    });
  });

  test('retries a 503 on metadata', async () => {
    await withBucket(async (bucket, server) => {
      server.put('a', Buffer.from('x'));
      server.fault('get', 'return-503');
      const [metadata] = await bucket.file('a').getMetadata();
      assert.equal(metadata.name, 'a');
    });
  });

  test('signs links that the server accepts, and that it refuses once a letter of them changed', async () => {
    await withBucket(async (bucket, server) => {
      server.put('recordings/C1/R1/recording.webm', Buffer.from('0123456789'));
      const [url] = await bucket.file('recordings/C1/R1/recording.webm').getSignedUrl({
        version: 'v4',
        action: 'read',
        expires: Date.now() + 60_000,
        responseType: 'audio/webm',
        responseDisposition: 'inline; filename="R1.webm"',
      });
      const answer = await fetch(url, { headers: { range: 'bytes=2-4' } });
      assert.equal(answer.status, 206);
      assert.equal(answer.headers.get('content-range'), 'bytes 2-4/10');
      assert.equal(answer.headers.get('content-type'), 'audio/webm');
      assert.equal(await answer.text(), '234');
      for (const other of [
        url.replace('R1/', 'R2/'),
        url.replace('X-Goog-Expires=', 'X-Goog-Expires=1'),
        url.replace('R1.webm', 'R9.webm'),
      ]) {
        assert.notEqual(other, url);
        const refused = await fetch(other);
        assert.equal(refused.status, 403);
        await refused.body?.cancel();
      }
    });
  });
});

function prefixesOf(response: unknown): unknown {
  return typeof response === 'object' && response !== null && 'prefixes' in response ? response.prefixes : undefined;
}
