/** Random interleavings of all that can happen to a recording, against a model: it is archived, held or erased, never two at once, never half. */
import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'node:test';
import { buffer } from 'node:stream/consumers';
import { isErased } from '../../src/archive/erased.ts';
import { holdsOn } from '../../src/archive/holds.ts';
import { verifyStored } from '../../src/archive/verify.ts';
import { BucketAudit } from '../../src/audit/bucket-audit.ts';
import { FolderAudit } from '../../src/audit/folder-audit.ts';
import { eraseAll } from '../../src/retention/erasure.ts';
import { Failure } from '../../src/failure.ts';
import type { Recording } from '../../src/recording.ts';
import { type ArchiveScene, openKnownBucketScene, SCENES } from '../support/commands/archive-scene.ts';
import { linesOf } from '../support/commands/run.ts';
import { runs, SEED, seeded } from '../support/soak.ts';

const signal = (): AbortSignal => AbortSignal.timeout(runs(500_000, 2_900_000));
const ACTIONS = ['event', 'event', 'event', 'listen', 'listen', 'hold', 'release', 'erase', 'erase', 'kill'] as const;

interface Span {
  readonly from: number;
  readonly to: number;
}

/** What was acknowledged, and when: what has to hold afterwards. */
class Story {
  readonly gone: Span[] = [];
  readonly held: Span[] = [];
  readonly released: Span[] = [];
  readonly log: string[] = [];
  #now = 0;

  async act(name: string, work: () => Promise<string>): Promise<Span & { readonly end: string }> {
    const from = (this.#now += 1);
    const end = await work();
    const to = (this.#now += 1);
    this.log.push(`${String(from)}-${String(to)} ${name}: ${end}`);
    return { from, to, end };
  }

  /** An erasure that lies whole between a hold that was acknowledged and the first release after it. */
  broken(): readonly Span[] {
    return this.gone.filter((erasure) =>
      this.held.some((hold) => hold.to < erasure.from && !this.#isReleasedBy(hold, erasure.to)),
    );
  }

  /** Held for certain, now. */
  get isHeld(): boolean {
    return this.held.some((hold) => !this.#isReleasedBy(hold, Infinity));
  }

  #isReleasedBy(hold: Span, at: number): boolean {
    return this.released.some((release) => release.to > hold.from && release.from < at);
  }
}

for (const [where, open] of [...SCENES, ['a bucket whose names are known', openKnownBucketScene] as const])
  test(
    `in ${where}: {event, worker, listen, hold, release, erase, kill} in any order and at once: no violation`,
    { timeout: runs(560_000, 3_000_000) },
    async (t) => {
      const scene = await open();
      t.after(() => scene.close());
      const random = seeded(SEED);
      if (scene.server !== undefined)
        scene.server.gate = () => ({ kind: 'call', run: () => turns(Math.floor(random() * 6)) });
      const ends = new Map<string, number>();
      for (let n = 0; n < runs(8, 250); n += 1) {
        const recording = { recordingId: `r${String(n)}`, conversationId: `c${String(n)}` };
        const story = new Story();
        const count = 4 + Math.floor(random() * 6);
        const started = Array.from({ length: count }, () => {
          const action = ACTIONS[Math.floor(random() * ACTIONS.length)] ?? 'event';
          const [wait, stopAfter] = [Math.floor(random() ** 2 * 3_000), Math.floor(random() * 400)];
          return turns(wait).then(() => run(action, { scene, recording, story, stopAfter }));
        });
        await Promise.all(started);
        const end = await settled(scene, recording, story);
        if (end === 'erased') forgetLate(scene, recording);
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
      t.diagnostic(JSON.stringify(Object.fromEntries(ends)));
      await assertWholeAudit(scene);
    },
  );

/** A manifest may slip in behind the removal of its WebM; it was answered as erased, and is gone by now. */
function forgetLate({ server }: ArchiveScene, { recordingId }: Recording): void {
  const violations = server?.store.violations ?? [];
  const late = violations.findIndex((one) => one.includes(`/${recordingId}/manifest.json: there is no recording.webm`));
  if (late !== -1) violations.splice(late, 1);
}

interface Act {
  readonly scene: ArchiveScene;
  readonly recording: Recording;
  readonly story: Story;
  /** Turns after which what can be killed is. */
  readonly stopAfter: number;
}

async function run(action: (typeof ACTIONS)[number], act: Act): Promise<void> {
  const { scene, recording, story, stopAfter } = act;
  const key = `${recording.conversationId ?? '_'}/${recording.recordingId}`;
  switch (action) {
    case 'event':
      return void (await story.act('worker', () => deliver(scene, recording)));
    case 'listen':
      return void (await story.act('listen', () => listen(scene, recording)));
    case 'hold': {
      const held = await story.act('hold', async () => {
        const printed = await scene.run('hold', 'K', '--recording', key, '--reason', 'x');
        return printed.code === 1 ? `1 ${printed.stderr}` : String(printed.code);
      });
      assert.ok(['0', '4'].includes(held.end), story.log.join('\n'));
      if (held.end === '0') story.held.push(held);
      return;
    }
    case 'release': {
      const released = await story.act('release', async () =>
        String((await scene.run('hold', 'K', '--release', '--recording', key)).code),
      );
      story.released.push(released);
      return;
    }
    case 'erase': {
      const erased = await story.act('erase', async () => eraseOnce(scene, key));
      if (erased.end.startsWith('0')) story.gone.push(erased);
      return;
    }
    case 'kill':
      return void (await story.act('killed erasure', () => eraseUntilStopped(scene, recording, stopAfter)));
  }
}

/** As the pipeline does: looks first, and stores what is not there; a message ends as done where it was erased. */
async function deliver(scene: ArchiveScene, recording: Recording): Promise<string> {
  try {
    if ((await scene.archive.find(recording, signal())) !== undefined) return 'there';
    await scene.store(recording);
    return 'stored';
  } catch (thrown) {
    const { code, message } = Failure.from(thrown);
    // What was staged may be taken from under a worker: that passes, and its message comes again.
    assert.ok(['erased', 'archive-unavailable', 'incomplete'].includes(code), `${code}: ${message}`);
    return code;
  }
}

/** All of the bytes, or an end that says why; never other bytes. */
async function listen({ archive }: ArchiveScene, recording: Recording): Promise<string> {
  try {
    const manifest = await archive.find(recording, signal());
    if (manifest === undefined) return 'nothing';
    const bytes = await buffer(await archive.read(manifest, undefined, signal()));
    assert.equal(bytes.length, manifest.webm.sizeBytes);
    return 'heard';
  } catch (thrown) {
    const { code, message } = Failure.from(thrown);
    assert.ok(['erased', 'not-found'].includes(code), `${code}: ${message}`);
    return code;
  }
}

async function eraseOnce(scene: ArchiveScene, key: string): Promise<string> {
  const printed = await scene.run('erase', '--recording', key, '--reason', 'x', '--confirm', '1', '--json');
  const summary = linesOf(printed).at(-1) ?? {};
  // The plan may have found it erased before: then it is not one any more, but none.
  if (printed.code === 4) return `4 ${String(summary['before'])}`;
  assert.ok(printed.code === 0 || printed.code === 1, printed.stdout + printed.stderr);
  return `${String(printed.code)} ${printed.stderr.split('\n')[0] ?? ''}`;
}

/** Stops between any two of its steps, as a kill does, and leaves what it has begun. */
async function eraseUntilStopped(scene: ArchiveScene, recording: Recording, stopAfter: number): Promise<string> {
  const stop = new AbortController();
  const audit = auditOf(scene);
  const needs = { archive: scene.archive, audit, by: { who: 'test', way: 'command' }, reason: 'x', looksAgain: false };
  const work = async (): Promise<string> => {
    for await (const end of eraseAll([{ subject: recording, days: [] }], needs, stop.signal)) return end.state;
    return 'none';
  };
  const ended = work().catch((thrown: unknown) => Failure.from(thrown).code);
  await turns(stopAfter);
  stop.abort(new Failure('stopped', 'killed by the test'));
  const end = await ended;
  await audit.close();
  return end;
}

/** Whatever is left to do is done: events come again, what was begun is ended. Then one thing holds, and what was promised. */
async function settled(scene: ArchiveScene, recording: Recording, story: Story): Promise<string> {
  const { archive } = scene;
  const key = `${recording.conversationId ?? '_'}/${recording.recordingId}`;
  if (await isErased(recording, archive.notes, signal()))
    await story.act('the next erase', () => eraseOnce(scene, key));
  await story.act('redelivery', () => deliver(scene, recording));
  const there = await archive.find(recording, signal()).then(
    () => 'whole',
    (thrown: unknown) => Failure.from(thrown).code,
  );
  const isMarked = await isErased(recording, archive.notes, signal());
  const holds = await holdsOn(recording, archive.notes, signal());
  const left = (await scene.names()).filter(
    (name) => name.startsWith(`recordings/${key}/`) || name.startsWith(`staging/${key.replace('/', '.')}.`),
  );
  const seen = `${JSON.stringify({ there, isMarked, holds: holds.length, left })}\n${story.log.join('\n')}`;
  assert.deepEqual(story.broken(), [], `erased while it was held\n${seen}`);
  if (there === 'whole') {
    assert.deepEqual(await verifyStored(archive, recording, signal()), [], seen);
    assert.equal(isMarked, false, `archived and erased\n${seen}`);
    return holds.length > 0 ? 'held' : 'archived';
  }
  assert.equal(there, 'erased', seen);
  assert.deepEqual([isMarked, left, holds.length], [true, [], 0], seen);
  assert.equal(story.isHeld && story.gone.length === 0, false, `a hold was acknowledged\n${seen}`);
  return 'erased';
}

function auditOf({ path, archive }: ArchiveScene): FolderAudit | BucketAudit {
  return path === undefined ? new BucketAudit(archive.notes) : new FolderAudit({ root: path });
}

async function assertWholeAudit(scene: ArchiveScene): Promise<void> {
  const audit = auditOf(scene);
  assert.deepEqual(
    (await audit.verify(signal())).findings.filter(({ state }) => state !== 'missing'),
    [],
  );
  await audit.close();
}

async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await nextTurn();
}
