/** A list that names nothing, where naming nothing would mean everything. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { linesOf } from '../support/commands/run.ts';
import { openFolderScene, runInProcess } from '../support/commands/archive-scene.ts';
import { startGenesysServer } from '../support/genesys/server.ts';

const LINES = [
  ['hold', 'K', '--release'],
  ['hold', 'K', '--reason', 'x'],
  ['erase', '--older-than', '1d', '--reason', 'x', '--confirm', '1'],
  ['erase', '--reason', 'x', '--confirm', '0'],
  ['restore', '--failed', '--confirm', '0'],
  ['retire', '--undo', '--confirm', '0'],
  ['export', 'K', '--to', join(tmpdir(), `never-made-${String(process.pid)}`)],
] as const;

for (const content of ['', '\n\n', '# nothing today\n', '\uFEFF'])
  test(`a list of ${JSON.stringify(content)} is refused by every command, and nothing is done (operators 3)`, async (t) => {
    const [scene, genesys, folder] = [
      await openFolderScene(),
      await startGenesysServer(),
      await mkdtemp(join(tmpdir(), 'empty-file-')),
    ];
    t.after(async () => {
      await genesys.close();
      await scene.close();
      await rm(folder, { recursive: true });
    });
    const env = { ...genesys.environment(), ...scene.env };
    const file = join(folder, 'list.txt');
    await writeFile(file, content);
    await scene.store({ recordingId: 'r', conversationId: 'c' });
    await scene.run('hold', 'K', '--conversation', 'c', '--reason', 'x');
    const before = await scene.names();
    for (const line of LINES) {
      const refused = await runInProcess([...line, '--file', file], env);
      assert.deepEqual([refused.code, refused.stdout], [2, ''], line.join(' '));
      assert.match(refused.stderr, /names nothing/, line.join(' '));
    }
    assert.deepEqual(await scene.names(), before);
    const [held] = linesOf(await scene.run('hold', '--list', '--json'));
    assert.equal(held?.['case'], 'K');
  });
