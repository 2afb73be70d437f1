/** Who gets an encoder, and in which order (A2). Time stands still until a test moves it. */
import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { ENCODERS } from '../../../src/bounds.ts';
import { Failure } from '../../../src/failure.ts';
import { Slots } from '../../../src/media/encoder/slots.ts';
import { Purpose } from '../../../src/media/purpose.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const NEVER = new AbortController().signal;

interface Asked {
  readonly purpose: Purpose;
  readonly slot: Promise<Disposable>;
  readonly stop: AbortController;
}

/** Slots, and in which order they were granted or refused, by name. */
function scene({ slots = 1, maxWaiting = 4, archives = true } = {}) {
  const clock = new FakeClock();
  const events: string[] = [];
  const all = new Slots({ slots, maxWaiting, archives, clock });
  const ask = (name: string, kind: 'archiving' | 'listening' | 'giving way'): Asked => {
    const purpose = new Purpose(kind === 'listening' ? kind : 'archiving');
    if (kind === 'giving way') purpose.giveWay();
    const stop = new AbortController();
    const slot = all.acquire(purpose, stop.signal);
    slot.then(
      () => events.push(name),
      (error: unknown) => events.push(`${name}: ${Failure.from(error).code}`),
    );
    // As an encoder that is ended gives back what it had.
    purpose.yielded.addEventListener('abort', () => {
      events.push(`${name} yields`);
      void slot.then((held) => held[Symbol.dispose]());
    });
    return { purpose, slot, stop };
  };
  const free = async ({ slot }: Asked): Promise<void> => (await slot)[Symbol.dispose]();
  return { slots: all, clock, events, ask, free };
}

test('gives out as many slots as there are, then one for each that comes back, first come first served', async () => {
  const { slots, events, ask, free } = scene({ slots: 2 });
  const [first] = ['first', 'second', 'third', 'fourth'].map((name) => ask(name, 'archiving'));
  await turn();
  assert.deepEqual([events, slots.running, slots.waiting], [['first', 'second'], 2, 2]);
  assert.ok(first);
  await free(first);
  await turn();
  assert.deepEqual([events, slots.running, slots.waiting], [['first', 'second', 'third'], 2, 1]);
});

test('a slot that comes back twice frees one place', async () => {
  const { slots, ask, free } = scene({ slots: 2 });
  const [first] = [ask('first', 'archiving'), ask('second', 'archiving')];
  await free(first);
  await free(first);
  assert.equal(slots.running, 1);
});

test('with several slots listeners never take the last, however many they are (A2)', async () => {
  for (const slots of [2, 3, 4, 8]) {
    const { events, ask, slots: all } = scene({ slots, maxWaiting: 100 });
    for (let count = 0; count < 2 * slots; count += 1) ask(`listener ${String(count)}`, 'listening');
    await turn();
    assert.equal(all.running, slots - 1);
    ask('archive', 'archiving');
    await turn();
    assert.equal(events.at(-1), 'archive', 'at once');
  }
});

test('a process that archives nothing lends listeners all of them', async () => {
  const { slots, ask } = scene({ slots: 2, archives: false });
  for (const name of ['one', 'two']) ask(name, 'listening');
  await turn();
  assert.equal(slots.running, 2);
});

test('what is archived goes before every listener that waits already (A2)', async () => {
  const { events, ask, free } = scene({ slots: 2 });
  const [busy] = [ask('busy', 'archiving'), ask('playing', 'listening')];
  ask('waiting', 'listening');
  await turn();
  const archive = ask('archive', 'archiving');
  await free(busy);
  await turn();
  assert.deepEqual(events, ['busy', 'playing', 'archive']);
  await free(archive);
  await turn();
  assert.deepEqual(events, ['busy', 'playing', 'archive'], 'one listener plays: the other slot is kept for archiving');
});

test('a single slot is lent to a listener, who yields it to the archive at once (A2)', async () => {
  const { events, ask, slots } = scene();
  const listener = ask('listener', 'listening');
  await turn();
  ask('archive', 'archiving');
  await turn();
  assert.deepEqual(events, ['listener', 'listener yields', 'archive']);
  assert.equal(slots.running, 1);
  const reason: unknown = listener.purpose.yielded.reason;
  assert.ok(reason instanceof Failure && reason.code === 'busy' && reason.afterMs === ENCODERS.retryAfterMs);
});

test('of listeners that have all slots only the newest yields, and only one (A2)', async () => {
  const { events, ask } = scene({ slots: 3 });
  // An archiver that leaves its making to listeners leaves them its slot as well.
  const [left] = [ask('left', 'archiving'), ask('old', 'listening'), ask('new', 'listening')];
  await turn();
  left.purpose.become('listening');
  ask('archive', 'archiving');
  ask('second', 'archiving');
  await turn();
  assert.deepEqual(events, ['left', 'old', 'new', 'new yields', 'archive']);
});

for (const slots of [1, 2, 3])
  test(`of ${String(slots)} slots what is new takes that of what gives way, at once, and goes before it`, async () => {
    const { events, ask, free } = scene({ slots });
    const live = Array.from({ length: slots - 1 }, (_, index) => ask(`live ${String(index)}`, 'archiving'));
    ask('night', 'giving way');
    await turn();
    ask('next of the night', 'giving way');
    const fresh = ask('new', 'archiving');
    ask('listener', 'listening');
    await turn();
    const before = live.map((_, index) => `live ${String(index)}`);
    assert.deepEqual(
      events.filter((event) => !event.startsWith('listener')),
      [...before, 'night', 'night yields', 'new'],
    );
    await free(fresh);
    await turn();
    assert.equal(events.at(-1), 'next of the night');
  });

test('what gives way takes no encoder from a listener, and is served before the next one', async () => {
  const { events, ask, free } = scene();
  const listener = ask('listener', 'listening');
  await turn();
  ask('night', 'giving way');
  await turn();
  assert.deepEqual(events, ['listener']);
  await free(listener);
  await turn();
  assert.deepEqual(events, ['listener', 'night']);
});

test('one that gives way yields to each that is new, the newest first', async () => {
  const { events, ask } = scene({ slots: 2 });
  for (const name of ['one', 'two']) ask(name, 'giving way');
  await turn();
  for (const name of ['new', 'newer']) ask(name, 'archiving');
  await turn();
  assert.deepEqual(events, ['one', 'two', 'two yields', 'one yields', 'new', 'newer']);
});

test('what listeners only joined is not taken from the archive', async () => {
  const { events, ask } = scene();
  const joined = ask('joined', 'listening');
  await turn();
  joined.purpose.become('archiving');
  ask('archive', 'archiving');
  await turn();
  assert.deepEqual(events, ['joined']);
});

test('a listener that waits is served as the archive once it joins, and no longer refused (A2)', async () => {
  const { events, ask, free, clock } = scene({ slots: 2 });
  const busy = [ask('one', 'archiving'), ask('two', 'archiving')];
  const waiting = ask('waiting', 'listening');
  await turn();
  waiting.purpose.become('archiving');
  clock.advance(10 * ENCODERS.waitMs);
  ask('later', 'archiving');
  for (const each of busy) await free(each);
  await turn();
  assert.deepEqual(events, ['one', 'two', 'waiting', 'later']);
});

test('a listener waits ten seconds, then is told when to come back; the archive waits as long as it takes (A2)', async () => {
  const { events, ask, clock, slots } = scene({ slots: 1 });
  ask('busy', 'archiving');
  const listener = ask('listener', 'listening');
  await turn();
  clock.advance(9_999);
  await turn();
  assert.equal(slots.waiting, 1);
  clock.advance(1);
  await assert.rejects(
    listener.slot,
    (error) => error instanceof Failure && error.code === 'busy' && error.status === 429 && (error.afterMs ?? 0) > 0,
  );
  ask('archive', 'archiving');
  clock.advance(3_600_000);
  await turn();
  assert.deepEqual([events, slots.waiting, clock.alarms], [['busy', 'listener: busy'], 1, 0]);
});

test('what was for the archive and is left to a listener waits ten seconds from then on, and no more (A2)', async () => {
  const { events, ask, clock } = scene({ slots: 1 });
  ask('busy', 'archiving');
  const left = ask('left', 'archiving');
  clock.advance(3_600_000);
  left.purpose.become('listening');
  clock.advance(9_999);
  await turn();
  assert.deepEqual(events, ['busy']);
  clock.advance(1);
  await turn();
  assert.deepEqual(events, ['busy', 'left: busy']);
});

test('a listener is refused at once where it is hopeless: the queue is full, or archiving waits itself', async () => {
  const full = scene({ slots: 1, maxWaiting: 1 });
  full.ask('busy', 'archiving');
  for (const name of ['waits', 'too many']) full.ask(name, 'listening');
  await turn();
  assert.deepEqual(full.events, ['busy', 'too many: busy']);
  const crowded = scene({ slots: 1, maxWaiting: 10 });
  for (const name of ['busy', 'archive']) crowded.ask(name, 'archiving');
  crowded.ask('listener', 'listening');
  await turn();
  assert.deepEqual(crowded.events, ['busy', 'listener: busy']);
});

test('who stops waiting is forgotten, and the next is served', async () => {
  const { events, ask, slots, free } = scene();
  const running = ask('running', 'archiving');
  const leaving = ask('leaving', 'archiving');
  const stays = ask('stays', 'archiving');
  leaving.stop.abort(new Failure('stopped', 'The listener left.'));
  await assert.rejects(leaving.slot, /The listener left/);
  assert.deepEqual(getEventListeners(running.stop.signal, 'abort'), [], 'who has a slot waits for nothing');
  assert.equal(slots.waiting, 1);
  await free(running);
  await stays.slot;
  await assert.rejects(
    slots.acquire(new Purpose('archiving'), AbortSignal.abort()),
    (error) => error instanceof Failure && error.code === 'stopped',
  );
  assert.deepEqual([slots.running, slots.waiting, events], [1, 0, ['running', 'leaving: stopped', 'stays']]);
});

test('who stops in the very moment it is served leaves no slot behind', async () => {
  const { slots, ask, free } = scene();
  const running = ask('running', 'archiving');
  const leaving = ask('leaving', 'archiving');
  await running.slot;
  leaving.stop.abort();
  await free(running);
  await turn();
  await assert.rejects(leaving.slot);
  assert.deepEqual([slots.running, slots.waiting], [0, 0]);
  await slots.acquire(new Purpose('listening'), NEVER);
});
