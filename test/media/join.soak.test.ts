/** Any two legs of a call, joined or encoded: refused, or each voice is in it, in step and at its level, judged by libopus. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { fc } from '../support/generated.ts';
import { Failure } from '../../src/failure.ts';
import { delayMs, levelDb } from '../support/media/compare.ts';
import { decodeOpus } from '../support/media/ffmpeg.ts';
import {
  codeVoices,
  CODINGS,
  type Heard,
  type Leg,
  type LegPlan,
  type LinkPlan,
  writeLeg,
} from '../support/media/legs.ts';
import { archived } from '../support/media/made.ts';
import { runs, SEED } from '../support/soak.ts';

const folder = await mkdtemp(path.join(tmpdir(), 'join-soak-'));
after(() => rm(folder, { recursive: true }));

const VOICES = await codeVoices(folder, 2);

// ── legs ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** In milliseconds where not said otherwise: packets are of several lengths. */
interface RunWish {
  readonly fromMs: number;
  readonly lengthMs: number;
  readonly hole: number;
}

interface LinkWish {
  readonly gainDb: number;
  readonly preSkip: number;
  readonly runs: readonly RunWish[];
  /** Of a packet. */
  readonly trim: number;
}

interface LegWish {
  readonly start: number;
  readonly links: readonly LinkWish[];
  readonly perPageMs: number;
}

const samplesOf = (ms: number): number => ms * 48;

/** Mostly nothing, else a whole number of 20 ms or any number of samples. */
function oftenNone(mostMs: number): fc.Arbitrary<number> {
  const any = fc.nat({ max: samplesOf(mostMs) });
  const whole = fc.nat({ max: mostMs / 20 }).map((count) => count * 960);
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: whole },
    { weight: 1, arbitrary: any },
  );
}

const run: fc.Arbitrary<RunWish> = fc.record({
  fromMs: fc.nat({ max: 5500 }),
  lengthMs: fc.integer({ min: 700, max: 2400 }),
  hole: oftenNone(1500),
});

const link: fc.Arbitrary<LinkWish> = fc.record({
  gainDb: fc.oneof(
    { weight: 5, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.constantFrom(-12, -3.5, 4, 6) },
  ),
  preSkip: fc.constantFrom(312, 312, 312, 0, 120, 960, 3840),
  runs: fc.array(run, { minLength: 1, maxLength: 3 }),
  trim: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 0.99, noNaN: true })),
});

const leg: fc.Arbitrary<LegWish> = fc.record({
  start: oftenNone(3000),
  links: fc.oneof(
    { weight: 4, arbitrary: fc.array(link, { minLength: 1, maxLength: 1 }) },
    { weight: 1, arbitrary: fc.array(link, { minLength: 2, maxLength: 3 }) },
  ),
  perPageMs: fc.constantFrom(20, 200, 1000),
});

const coding = fc.nat({ max: Object.keys(CODINGS).length - 1 });

function planOf(wish: LegWish, voice: number, index: number): LegPlan {
  const coded = VOICES[voice]?.[index] ?? assert.fail();
  const packets = (ms: number): number => Math.max(1, Math.floor(samplesOf(ms) / coded.samples));
  const packetsPerPage = Math.min(255, packets(wish.perPageMs));
  const links = wish.links.map(({ runs: wished, trim, preSkip, gainDb }, index): LinkPlan => ({
    gainDb,
    preSkip,
    trim: isEndUncertain(index === 0 ? wish.start : 0, wished, packets(wished[0]?.lengthMs ?? 0) <= packetsPerPage)
      ? 0
      : Math.floor(trim * coded.samples),
    runs: wished.map(({ fromMs, lengthMs, hole }, at) => ({
      from: packets(fromMs),
      count: packets(lengthMs),
      hole: at === 0 ? 0 : hole,
    })),
  }));
  return { coded, start: wish.start, links, packetsPerPage };
}

/**
 * Of a last page that has a hole before it nobody can tell whether the hole was shorter or the end was cut off; nor of the only
 * page of what begins late whether it began earlier.
 */
function isEndUncertain(start: number, wished: readonly RunWish[], isOnePage: boolean): boolean {
  return wished.length > 1 ? (wished.at(-1)?.hole ?? 0) > 0 : start > 0 && isOnePage;
}

// ── judging ─────────────────────────────────────────────────────────────────────────────────────────────────────

const STEP_MS = 20;

/** Decibels: what is not encoded keeps its level, the codec itself costs up to 0.3. */
const levelSlack = (way: string): number => (way === 'encode-audio' ? 0.5 : 0.1);

/** Of what is neither faded in nor out. */
const INSIDE = samplesOf(200);

interface Verdict {
  readonly way: string;
  readonly wrong: readonly string[];
}

async function judge(legs: readonly Leg[]): Promise<Verdict> {
  const refused = (way: string): Verdict => ({ way, wrong: [] });
  let made;
  try {
    made = await archived(legs.map(({ file }) => file));
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    assert.ok(['unsupported-media', 'unreadable-media', 'incomplete'].includes(error.code), error.message);
    return refused(`refused: ${error.code}`);
  }
  const name = path.join(folder, `${randomUUID()}.webm`);
  await writeFile(name, made.file);
  const channels = await decodeOpus(name, legs.length);
  await rm(name);
  const zero = Math.min(...legs.map(({ start }) => start));
  const wrong = legs.flatMap((each, index) => {
    const channel = channels[index] ?? new Float32Array();
    return each.heard.flatMap((heard) =>
      wrongWith(channel, { ...heard, start: heard.start - zero }, made.way).map((text) => `channel ${index}: ${text}`),
    );
  });
  const endMs = (Math.max(...legs.map(({ end }) => end)) - zero) / 48;
  const lastMs = (channels[0]?.length ?? 0) / 48;
  if (Math.abs(lastMs - endMs) > STEP_MS + 5) wrong.push(`ends at ${lastMs} ms, not at ${endMs} ms`);
  if (Math.abs(made.result.durationMs - lastMs) > 25)
    wrong.push(`says ${made.result.durationMs} ms, plays ${lastMs} ms`);
  return { way: made.way, wrong };
}

function wrongWith(channel: Float32Array, heard: Heard, way: string): readonly string[] {
  const meant = heard.sound.subarray(INSIDE, heard.sound.length - samplesOf(40));
  if (meant.length < samplesOf(300)) return [];
  const start = heard.start + INSIDE;
  const late = delayMs(channel, meant, start);
  const at = start + samplesOf(late);
  const loud = levelDb(channel.subarray(at, at + meant.length)) - levelDb(meant, heard.gain);
  const where = `what begins at ${(heard.start / 48).toFixed(0)} ms is`;
  return [
    ...(Math.abs(late) > STEP_MS ? [`${where} ${late.toFixed(1)} ms late`] : []),
    ...(Math.abs(loud) > levelSlack(way) ? [`${where} ${loud.toFixed(2)} dB too loud`] : []),
  ];
}

// ── the properties ──────────────────────────────────────────────────────────────────────────────────────────────

/** Half of the runs judges while the other waits for a decoder. */
async function inTwoLanes<Case extends [unknown, ...unknown[]]>(
  property: fc.IAsyncPropertyWithHooks<Case>,
  numRuns: number,
): Promise<void> {
  const lane = (number: number): Promise<void> =>
    fc.assert(property, { seed: SEED + number, numRuns: numRuns / 2, endOnFailure: true });
  await Promise.all([lane(0), lane(1)]);
}

test('any pair of legs is refused, or in step to 20 ms and at its level (D6, D7, D9, D10)', async (t) => {
  const ways = new Map<string, number>();
  const pair = fc.record({ left: leg, right: leg, codings: fc.tuple(coding, coding), alike: fc.nat({ max: 3 }) });
  await inTwoLanes(
    fc.asyncProperty(pair, async ({ left, right, codings, alike }) => {
      const [first, second] = [codings[0], alike > 0 ? codings[0] : codings[1]];
      const legs = [writeLeg(planOf(left, 0, first)), writeLeg(planOf(right, 1, second))];
      const { way, wrong } = await judge(legs);
      ways.set(way, (ways.get(way) ?? 0) + 1);
      assert.deepEqual(wrong, [], way);
    }),
    runs(20, 2000),
  );
  t.diagnostic(JSON.stringify(Object.fromEntries(ways)));
  assert.ok((ways.get('join') ?? 0) > runs(20, 2000) / 6, 'many are joined');
});

test('any one leg is refused, or heard as it was recorded (D7, D10)', async (t) => {
  const ways = new Map<string, number>();
  await inTwoLanes(
    fc.asyncProperty(leg, coding, async (wish, index) => {
      const { way, wrong } = await judge([writeLeg(planOf(wish, 0, index))]);
      ways.set(way, (ways.get(way) ?? 0) + 1);
      assert.deepEqual(wrong, [], way);
    }),
    runs(12, 1000),
  );
  t.diagnostic(JSON.stringify(Object.fromEntries(ways)));
});
