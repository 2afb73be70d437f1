/** What was counted of a recording that came to its end → the proof that nothing of it is missing, or why there is none. Pure. */
import { Failure } from '../failure.ts';

/** Durations in milliseconds; undefined where nobody says. */
export interface EndFigures {
  /** Of the WebM as it came out. */
  readonly playsMs: number;
  readonly packets: number;
  readonly isVideo: boolean;
  /** Counted on the source's own bytes. */
  readonly sourceMs: number | undefined;
  readonly genesysMs: number | undefined;
  /** A source of a kind that marks its end does not: it may have been cut there. */
  readonly lacksEndMark: boolean;
  /** Every download had as many bytes as its server announced. */
  readonly hasKnownSize: boolean;
}

/**
 * Returns what the manifest has to say of the end, if anything.
 * @throws Failure `incomplete` (another attempt may get the whole) where a file may have been cut, or where what came out
 * and what went in disagree: an encoder that leaves out what it cannot read still ends with code 0, only the duration shows it.
 * `unreadable-media` where nothing came out
 */
export function requireWhole(figures: EndFigures): string | undefined {
  const proof = endProofOf(figures);
  if (proof === 'nothing') {
    const text =
      'The media ends without its end mark, and nothing else tells how long it should be; nothing was stored.';
    throw new Failure('incomplete', text);
  }
  if (proof === 'genesys') requireMarkless(figures);
  requireAgreement(figures);
  return proof === 'download' ? 'it ends without its end mark' : undefined;
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

function endProofOf({ lacksEndMark, genesysMs, hasKnownSize }: EndFigures): EndProof {
  if (!lacksEndMark) return 'source';
  if (genesysMs !== undefined) return 'genesys';
  return hasKnownSize ? 'download' : 'nothing';
}

/** Where only Genesys' duration stands for the end mark. */
const UNMARKED_SLACK_MS = 1_000;

/** A picture that does not change is not repeated for so long, at most. */
const LAST_PICTURE_MS = 5_000;

function requireMarkless({ playsMs, genesysMs = 0, isVideo }: EndFigures): void {
  const lateMs = playsMs - genesysMs;
  if (isNear(lateMs, { slackMs: UNMARKED_SLACK_MS, shortMs: isVideo ? LAST_PICTURE_MS : 0 })) return;
  const away = `${(Math.abs(lateMs) / 1000).toFixed(2)} s ${lateMs < 0 ? 'before' : 'after'} Genesys says`;
  throw new Failure('incomplete', `The media ends without its end mark, ${away}; nothing was stored.`);
}

function requireAgreement({ playsMs, packets, isVideo, sourceMs, genesysMs }: EndFigures): void {
  if (packets === 0) throw new Failure('unreadable-media', 'The media holds no sound and no picture.');
  const shortMs = isVideo ? LAST_PICTURE_MS : 0;
  if (sourceMs !== undefined)
    requireNear(playsMs, sourceMs, {
      slackMs: Math.max(500, Math.min(sourceMs / 200, 2_000)),
      shortMs,
      who: 'its source',
    });
  if (genesysMs !== undefined)
    requireNear(playsMs, genesysMs, { slackMs: Math.max(3_000, genesysMs / 50), shortMs, who: 'Genesys' });
}

interface Slack {
  readonly slackMs: number;
  readonly shortMs: number;
}

function isNear(differenceMs: number, { slackMs, shortMs }: Slack): boolean {
  return differenceMs <= slackMs && differenceMs >= -(slackMs + shortMs);
}

function requireNear(actualMs: number, expectedMs: number, { who, ...slack }: Slack & { readonly who: string }): void {
  if (isNear(actualMs - expectedMs, slack)) return;
  const [actual, expected] = [actualMs, expectedMs].map((ms) => (ms / 1000).toFixed(2));
  throw new Failure(
    'incomplete',
    `The WebM plays ${actual ?? ''} s, but by ${who} it should be ${expected ?? ''} s; nothing was stored.`,
  );
}
