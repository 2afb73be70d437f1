import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { dirname, join } from 'node:path';
import { openFolderHarness } from '../../support/archive/folder.ts';
import { listingSuite } from '../listing-suite.ts';

const asked = { opened: 0, listed: 0 };

/** What opens a file and what goes through a folder, counted from outside. */
function count(name: 'open' | 'opendir', kind: 'opened' | 'listed'): void {
  const original: unknown = Reflect.get(fs, name);
  if (typeof original !== 'function') throw new Error(`no function ${name}`);
  Reflect.set(fs, name, (...args: unknown[]): unknown => {
    asked[kind] += 1;
    return Reflect.apply(original, fs, args);
  });
}

count('open', 'opened');
count('opendir', 'listed');
syncBuiltinESMExports();

listingSuite('the folder archive', async () => {
  const harness = await openFolderHarness();
  return Object.assign(harness, {
    asked() {
      const since = { ...asked };
      Object.assign(asked, { opened: 0, listed: 0 });
      return since;
    },
    async lose(folder: string) {
      await fs.rm(join(harness.path, folder), { recursive: true, force: true });
    },
    async place(name: string, text: string) {
      const path = join(harness.path, name);
      await fs.mkdir(dirname(path), { recursive: true });
      await fs.writeFile(path, text);
      const earlier = new Date(Date.now() - 3_600_000);
      if (name.startsWith('listing/')) await fs.utimes(path, earlier, earlier);
    },
  });
});
