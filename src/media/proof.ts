/** What was counted of a recording that came to its end → the proof that nothing of it is missing, or why there is none. Pure. */
import { Failure } from '../failure.ts';
import type { Lengths } from './source/tally.ts';

/** Durations in milliseconds; undefined where nobody says. */
export interface EndFigures {
  /** Where the sound ends in the WebM as it came out; undefined where it has none. */
  readonly soundMs: number | undefined;
  /** Where the last picture ends, as far as it tells by itself. */
  readonly picturesMs: number | undefined;
  readonly packets: number;
  /** By the source itself. */
  readonly sourceMs: number | undefined;
  /** Whether the source's header says so; otherwise it was counted on the source's own bytes. */
  readonly isStated: boolean;
  readonly genesysMs: number | undefined;
  /** A source of a kind that marks its end does not: it may have been cut there. */
  readonly lacksEndMark: boolean;
  /** The source's own sizes account for its every byte: what ends early in it did so when it was recorded. */
  readonly isSized: boolean;
  /** Where sound and pictures end by what was counted on the source's own bytes, each on its own. */
  readonly countedMs: Lengths;
  /** How far sound may be from that where its decoder is known so well. */
  readonly soundSlackMs: number | undefined;
  /** Every download had as many bytes as its server announced. */
  readonly hasKnownSize: boolean;
}

export interface WholeEnd {
  /** What the manifest has to say of the end, if anything. */
  readonly note: string | undefined;
  /** How long the last picture stays; undefined where nobody knows better than the picture itself. */
  readonly picturesUntilMs: number | undefined;
}

/**
 * @throws Failure `incomplete` (another attempt may get the whole) where a file may have been cut, or where what came out
 * and what went in disagree: an encoder that leaves out what it cannot read still ends with code 0, only the duration shows it.
 * `unreadable-media` where nothing came out
 */
export function requireWhole(counted: EndFigures): WholeEnd {
  const figures = isExaggerated(counted) ? { ...counted, sourceMs: undefined } : counted;
  const proof = endProofOf(figures);
  if (proof === 'nothing') {
    const text =
      'The media ends without its end mark, and nothing else tells how long it should be; nothing was stored.';
    throw new Failure('incomplete', text);
  }
  const picturesUntilMs = picturesUntil(figures);
  const shown = { ...figures, picturesMs: picturesUntilMs ?? figures.picturesMs };
  if (proof === 'genesys') requireMarkless(figures, picturesUntilMs);
  if (figures.packets === 0) throw new Failure('unreadable-media', 'The media holds no sound and no picture.');
  requireCounted(figures, picturesUntilMs);
  requireAgreement(shown);
  const notes = [
    ...(proof === 'download' ? ['it ends without its end mark'] : []),
    ...earlySound(shown.soundMs, shown.picturesMs),
  ];
  return { note: notes.length === 0 ? undefined : notes.join('; '), picturesUntilMs };
}

/** By what is known that the media did not end early; the first of these that there is. */
type EndProof =
  /** Its own end mark, the duration in its header, or what was counted while it was encoded. */
  | 'source'
  /** The duration that Genesys says. */
  | 'genesys'
  /** The announced size of the download: it is all that there is, whoever wrote it. */
  | 'download'
  | 'nothing';

function endProofOf({ lacksEndMark, isStated, sourceMs, genesysMs, hasKnownSize }: EndFigures): EndProof {
  if (!lacksEndMark || (isStated && sourceMs !== undefined)) return 'source';
  if (genesysMs !== undefined) return 'genesys';
  return hasKnownSize ? 'download' : 'nothing';
}

/** Where only Genesys' duration stands for the end mark. */
const UNMARKED_SLACK_MS = 1_000;

/** A picture that does not change is not repeated for so long, at most. */
const LAST_PICTURE_MS = 5_000;

/** The times of pictures are rounded to ticks of the encoder, and to milliseconds. */
const ROUNDED_MS = 10;

/** Encoders, clocks and Genesys count differently by a little. */
const sourceSlack = (ms: number): number => Math.max(500, Math.min(ms / 200, 2_000));
const genesysSlack = (ms: number): number => Math.max(3_000, ms / 50);

/** What a header says beyond what is there is wrong where Genesys says no more than what is there, either. */
function isExaggerated(figures: EndFigures): boolean {
  const { sourceMs, genesysMs, isStated, isSized } = figures;
  if (!isStated || sourceMs === undefined || genesysMs === undefined) return false;
  const slackMs = isSized ? genesysSlack(genesysMs) : UNMARKED_SLACK_MS;
  const isAsGenesysSays = endsOf(figures).every(({ ms }) => Math.abs(ms - genesysMs) <= slackMs);
  return isAsGenesysSays && sourceMs > genesysMs + slackMs;
}

/**
 * The last picture stays as long as the source says; where the source may have been cut, only so long as to be likely, or as
 * its own pictures go on that an encoder may have left out.
 */
function picturesUntil({ picturesMs, sourceMs, isStated, isSized, countedMs }: EndFigures): number | undefined {
  if (picturesMs === undefined || sourceMs === undefined || sourceMs <= picturesMs) return undefined;
  if ((isStated && isSized) || sourceMs - picturesMs <= LAST_PICTURE_MS) return sourceMs;
  return picturesMs + ROUNDED_MS >= (countedMs.repeatsFromMs ?? Infinity) ? countedMs.picturesMs : undefined;
}

interface TrackEnd {
  readonly what: 'sound' | 'pictures';
  readonly ms: number;
}

/** Sound and pictures each on its own, or the later of both where the sizes prove that both are whole. */
function endsOf({ soundMs, picturesMs, isSized }: EndFigures): readonly TrackEnd[] {
  const sound = soundMs === undefined ? [] : [{ what: 'sound', ms: soundMs } as const];
  const pictures = picturesMs === undefined ? [] : [{ what: 'pictures', ms: picturesMs } as const];
  const ends = [...sound, ...pictures];
  return isSized ? latestOf(ends) : ends;
}

function latestOf(ends: readonly TrackEnd[]): readonly TrackEnd[] {
  return ends.toSorted((a, b) => b.ms - a.ms).slice(0, 1);
}

/** Held beyond what Genesys says, the last picture tells nothing. */
function requireMarkless(figures: EndFigures, picturesUntilMs = 0): void {
  const { genesysMs = 0 } = figures;
  const picturesMs = atLeast(figures.picturesMs, Math.min(picturesUntilMs, genesysMs));
  for (const { what, ms } of endsOf({ ...figures, picturesMs })) {
    const lateMs = ms - genesysMs;
    if (isNear(lateMs, UNMARKED_SLACK_MS, what)) continue;
    const away = `${(Math.abs(lateMs) / 1000).toFixed(2)} s ${lateMs < 0 ? 'before' : 'after'} Genesys says`;
    throw new Failure('incomplete', `The media ends without its end mark, ${away}; nothing was stored.`);
  }
}

/** Where there are any: also a single one, at 0. */
const atLeast = (ms: number | undefined, leastMs: number): number | undefined =>
  ms === undefined ? undefined : Math.max(ms, leastMs);

/** What the encoder made of sound and of pictures, each held to what it got. That the last picture stays behind its own end is our doing. */
function requireCounted(
  { soundMs, picturesMs, countedMs, soundSlackMs }: EndFigures,
  picturesUntilMs: number | undefined,
): void {
  const heldMs = Math.min(picturesUntilMs ?? 0, countedMs.picturesMs ?? 0);
  const ends = [
    { what: 'sound', ms: soundMs, dueMs: countedMs.soundMs, slackMs: soundSlackMs },
    { what: 'pictures', ms: atLeast(picturesMs, heldMs), dueMs: countedMs.picturesMs, slackMs: undefined },
  ] as const;
  for (const { what, ms, dueMs, slackMs } of ends) {
    if (ms === undefined || dueMs === undefined || isNear(ms - dueMs, slackMs ?? sourceSlack(dueMs), what)) continue;
    throw disagreement(`The ${what} in the WebM ${what === 'sound' ? 'ends' : 'end'} at`, ms, {
      by: 'its source',
      ms: dueMs,
    });
  }
}

function requireAgreement(figures: EndFigures): void {
  const { sourceMs, genesysMs, isStated, isSized } = figures;
  const ends = endsOf(figures);
  // What was counted is the length of both together: each was held to its own already.
  for (const { what, ms } of isStated ? ends : latestOf(ends)) {
    // More than a header says is no loss where every byte is accounted for.
    const isMore = isStated && isSized && ms > (sourceMs ?? 0);
    if (sourceMs !== undefined && !isMore && !isNear(ms - sourceMs, sourceSlack(sourceMs), what))
      throw disagreement(sayWho(what, ends), ms, { by: 'its source', ms: sourceMs });
  }
  for (const { what, ms } of ends)
    if (genesysMs !== undefined && !isNear(ms - genesysMs, genesysSlack(genesysMs), what))
      throw disagreement(sayWho(what, ends), ms, { by: 'Genesys', ms: genesysMs });
}

function sayWho(what: TrackEnd['what'], ends: readonly TrackEnd[]): string {
  return ends.length === 1 ? 'The WebM plays' : `The ${what} in the WebM ${what === 'sound' ? 'ends' : 'end'} at`;
}

function isNear(lateMs: number, slackMs: number, what: TrackEnd['what']): boolean {
  const stayMs = what === 'pictures' ? LAST_PICTURE_MS : 0;
  return lateMs <= slackMs && lateMs >= -(slackMs + stayMs);
}

function disagreement(what: string, ms: number, due: { readonly by: string; readonly ms: number }): Failure {
  const [actual, expected] = [ms, due.ms].map((each) => (each / 1000).toFixed(2));
  return new Failure(
    'incomplete',
    `${what} ${actual ?? ''} s, but by ${due.by} it should be ${expected ?? ''} s; nothing was stored.`,
  );
}

/** More than the last packet of sound may lack. */
const EARLY_SOUND_MS = 1_000;

function earlySound(soundMs: number | undefined, picturesMs: number | undefined): readonly string[] {
  const earlyMs = (picturesMs ?? 0) - (soundMs ?? Infinity);
  return earlyMs > EARLY_SOUND_MS ? [`its sound ends ${(earlyMs / 1000).toFixed(2)} s before its pictures`] : [];
}
