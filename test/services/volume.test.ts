/** `archiver serve` whose archive is a volume of its own, which is all of this machine that it may write. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { forgetBeside } from '../../src/services/forget-beside.ts';
import { SqliteSearch } from '../../src/search/sqlite-search.ts';
import { openFolderHarness } from '../support/archive/folder.ts';
import { startGenesysServer } from '../support/genesys/server.ts';
import { NO_MOUNT, readOnly, smallDisk } from '../support/mounts.ts';
import { rowAt } from '../support/search/rows.ts';
import { startService } from '../support/service/service.ts';

const MIB = 1024 * 1024;

test('it serves, with its index in the archive', { skip: NO_MOUNT, timeout: 400_000 }, async (t) => {
  const genesys = await startGenesysServer();
  const parent = await mkdtemp(join(tmpdir(), 'volume-'));
  t.after(async () => {
    await genesys.close();
    await rm(parent, { recursive: true });
  });
  const path = join(parent, 'archive');
  await mkdir(path);
  using _shut = readOnly(parent);
  await using _volume = await smallDisk(64 * MIB, path);
  const env = {
    ...genesys.environment(),
    ARCHIVE_URL: `file:${path}`,
    QUEUE_URL: `sqlite:${join(path, 'queue.db')}`,
    WEBHOOK_AUTH: 'none',
    API_AUTH: 'none',
  };
  {
    await using service = await startService('serve', env);
    assert.equal((await fetch(`${service.url}/readyz`)).status, 200, service.output());
    assert.equal((await fetch(`${service.url}/console/`)).status, 200);
  }
  assert.ok(existsSync(join(path, 'index.db')));
  assert.deepEqual(await readdir(parent), ['archive']);
});

test('what was erased is forgotten wherever the index lies, whoever erases', async () => {
  const harness = await openFolderHarness();
  const { parent, path, archive } = harness;
  const signal = AbortSignal.timeout(200_000);
  const recording = { recordingId: 'r1', conversationId: 'c1' };
  const places = [join(parent, 'index.db'), join(path, 'index.db')];
  const open = (place: string): SqliteSearch =>
    new SqliteSearch({ path: place, archive, onTrouble: (error) => assert.fail(String(error)) });
  const found = async (place: string): Promise<number> => {
    const search = open(place);
    try {
      const page = await search.search(
        { text: '', from: '2026-03-01', to: '2026-03-01', mayFindNumbers: true, limit: 50 },
        signal,
      );
      return page.rows.length;
    } finally {
      await search.close();
    }
  };
  try {
    for (const place of places) {
      const search = open(place);
      search.note(rowAt('2026-03-01T09:30:00.000Z', 'c1.r1'));
      await search.close();
      assert.equal(await found(place), 1);
    }
    await forgetBeside([recording], {
      queue: { kind: 'sqlite', path: join(parent, 'queue.db') },
      archive: { kind: 'folder', path, linkKeys: [], linkLifetimeS: 900 },
    });
    for (const place of places) assert.equal(await found(place), 0, place);
  } finally {
    await harness.close();
  }
});
