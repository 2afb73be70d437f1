/** Random lives of an archive: what is done by right is never found, and one changed byte of what was sealed always is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeProof } from '../../src/archive/proofs.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { type Place, PLACES } from '../support/archive/places.ts';
import { runInside } from '../support/commands/inside.ts';
import { linesOf } from '../support/commands/run.ts';
import { runs, SEED, seeded } from '../support/soak.ts';

const { signal } = new AbortController();
const DAYS = ['2026-03-01', '2026-03-02', '2026-03-03'];

async function verify(place: Place, ...args: readonly string[]): Promise<readonly string[]> {
  const printed = await runInside(['verify', '--json', '--quiet', ...args], place.env);
  const found = linesOf(printed).filter(({ type }) => type === 'finding');
  assert.equal(printed.code, found.length === 0 ? 0 : 3, printed.stderr);
  return found.map(({ state, key, reason }) => `${String(state)} ${String(key)} ${String(reason)}`);
}

interface Kept {
  readonly path: string;
  readonly day: string;
}

async function live(place: Place, random: () => number, steps: number): Promise<void> {
  const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)];
  const kept: Kept[] = [];
  for (let step = 0; step < steps; step += 1) {
    const day = pick(DAYS) ?? '';
    const dice = random();
    if (dice < 0.45) kept.push(await add(place, step, day));
    else if (dice < 0.6 && kept.length > 0) await erase(place, kept.splice(Math.floor(random() * kept.length), 1)[0]);
    else if (dice < 0.8)
      await writeProof(
        'complete',
        { day, verdict: 'complete' },
        { notes: place.archive.notes, at: new Date() },
        signal,
      );
    else if (dice < 0.9) assert.deepEqual(await verify(place, '--from', day, '--to', day), []);
    else assert.deepEqual(await verify(place), []);
  }
}

async function add(place: Place, step: number, day: string): Promise<Kept> {
  const recording = { conversationId: `c${String(step % 5)}`, recordingId: `r${String(step)}` };
  const name = String(step);
  const facts = { recordedAt: `${day}T10:00:00.000Z` };
  await store(place.archive, recording, { head: bytesOf(name, 64), clusters: [bytesOf(`${name} c`, 200)], facts });
  return { path: `${recording.conversationId}/${recording.recordingId}`, day };
}

async function erase(place: Place, kept: Kept | undefined): Promise<void> {
  if (kept === undefined) return;
  const key = kept.path.replace('/', '.');
  await place.write(`erased/${key}.json`, '{}');
  for (const file of ['manifest.json', 'recording.webm']) await place.remove(`recordings/${kept.path}/${file}`);
  await place.remove(`days/${kept.day}/${key}`);
}

for (const [name, open] of PLACES) {
  test(`seals in a ${name}: random lives, and one byte changed`, { timeout: 3_000_000 }, async () => {
    for (let run = 0; run < runs(2, 100); run += 1) {
      await using place = await open();
      const random = seeded(SEED + run);
      await live(place, random, 25);
      for (const day of DAYS)
        await writeProof(
          'complete',
          { day, verdict: 'complete' },
          { notes: place.archive.notes, at: new Date() },
          signal,
        );
      assert.deepEqual(await verify(place), [], `seed ${String(SEED + run)}`);
      const vouched = (await place.names()).filter(
        (file) => /^recordings\/|^proofs\/seal\/|\.leaves\./.test(file) && !file.endsWith('/held'),
      );
      const target = vouched[Math.floor(random() * vouched.length)] ?? '';
      const bytes = Buffer.from(await place.bytes(target));
      const at = Math.floor(random() * bytes.length);
      bytes.writeUInt8(bytes.readUInt8(at) ^ 0x04, at);
      await place.write(target, bytes);
      const found = await verify(place, '--read');
      // White space around the JSON of the last seal says nothing, and no seal stands behind it.
      if (found.length === 0)
        assert.match(target, /^proofs\/seal\//, `seed ${String(SEED + run)}: ${target} ${String(at)}`);
    }
  });
}
