/** Services that are killed while their encoders start. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openStaging } from '../../support/encoders/fake.ts';
import { runs, SEED, seeded } from '../../support/soak.ts';

const staging = await openStaging();
after(() => staging[Symbol.asyncDispose]());

const KILLS = runs(4, 240);
const STARTER = join(import.meta.dirname, '../../support/encoders/starter.ts');
const skip = staging.real.cage.layers.includes('tether') ? false : 'needs setpriv';

test(
  `invariant 5: no encoder outlives a service that is killed while encoders start, ${String(KILLS)} times (F5)`,
  { timeout: KILLS * 30_000, skip },
  async (t) => {
    const { path, searchPath } = await staging.fake('deaf');
    const random = seeded(SEED);
    let caught = 0;
    for (let kill = 0; kill < KILLS; kill += 1) {
      const layers = staging.real.cage.layers.join();
      const service = spawn(process.execPath, [STARTER, path, searchPath, layers], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exit = once(service, 'exit');
      await once(service.stdout, 'data');
      await new Promise((resolve) => setTimeout(resolve, random() * 150));
      service.kill('SIGKILL');
      await exit;
      caught += (await staging.census()).length > 0 ? 1 : 0;
      assert.deepEqual(await staging.leftovers(), [], `kill ${String(kill)} of seed ${String(SEED)}`);
    }
    t.diagnostic(`${String(caught)} of ${String(KILLS)} kills left something behind for a moment`);
  },
);
