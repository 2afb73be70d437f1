/** How an encoder ended, or why it could not start, → the Failure that says what to do. */
import { Failure } from '../../failure.ts';

/** How a process ended: all its pipes are closed. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of what it wrote to stderr. */
  readonly stderr: string;
  /** Whether it said anywhere that it left out what it could not decode: from version 7 on it may end with code 0 then. */
  readonly leftOut: boolean;
}

/** What ffmpeg says of a packet that it passes over, in the words of versions 5 to 9. */
export const LEFT_OUT =
  /Error while decoding|Error submitting .{0,40}to decoder|Decoding error|Error processing packet/i;

interface Complaint {
  readonly pattern: RegExp;
  readonly failure: (match: RegExpExecArray) => Failure;
}

const unreadableMedia =
  (what: string): (() => Failure) =>
  () =>
    new Failure('unreadable-media', what);

/** In order of what explains more: ffmpeg names a cause first and its consequences behind it. */
const COMPLAINTS: readonly Complaint[] = [
  {
    pattern: /failed to execute|execvp|Can't find source path|No such file or directory.*ffmpeg/i,
    failure: () => new Failure('misconfigured', 'ffmpeg could not be started; install it where the service runs.'),
  },
  {
    pattern: /Unknown encoder '([\w-]+)'|Encoder '?([\w-]+)'? not found/i,
    failure: ([, a, b]) =>
      new Failure('misconfigured', `This ffmpeg has no encoder ${a ?? b ?? ''}; install one built with it.`),
  },
  {
    pattern:
      /Requested output format '(\w+)' is not a suitable|Unknown input format: '(\w+)'|Unrecognized option '([\w-]+)'|No such filter: '(\w+)'/i,
    failure: ([, a, b, c, d]) =>
      new Failure(
        'misconfigured',
        `This ffmpeg does not know ${a ?? b ?? c ?? d ?? 'an option'}; install a newer one.`,
      ),
  },
  {
    pattern: /Decoder \(codec (\w+)\) not found|codec (\w+)\) not found|no decoder (?:could be )?found for:? (\w+)/i,
    failure: ([, a, b, c]) =>
      new Failure(
        'unsupported-media',
        `The media holds ${a ?? b ?? c ?? 'a codec'}, which this service does not decode.`,
      ),
  },
  {
    pattern: /Codec \((\w+)\) not on whitelist/i,
    failure: ([, codec]) =>
      new Failure('unsupported-media', `The media holds ${codec ?? 'a codec'}, which this service does not decode.`),
  },
  {
    pattern: /not on whitelist/i,
    failure: () => new Failure('unsupported-media', 'The media holds something that is not decoded here.'),
  },
  {
    pattern: /Picture size .* (?:is invalid|exceeds)|max_pixels|max_streams|too many streams/i,
    failure: () =>
      new Failure('unsupported-media', 'The media is larger than is decoded here: picture size or number of streams.'),
  },
  { pattern: /moov atom not found/i, failure: unreadableMedia('The MP4 has no index.') },
  {
    pattern: /Output file is empty|Empty output|Output file .*does not contain any stream|matches no streams/i,
    failure: unreadableMedia('The media holds nothing to play.'),
  },
  {
    pattern: /Cannot allocate memory|Resource temporarily unavailable/i,
    failure: () => new Failure('encoder-failed', 'The encoder ran out of memory.'),
  },
  {
    pattern:
      /Invalid data found|could not find codec parameters|Error while decoding|Decoding error|decode error rate|invalid .*header|Header missing|Failed to read frame size|Error opening input|End of file|Cannot determine format of input stream/i,
    failure: unreadableMedia('The media is damaged or not what it looks like: it cannot be decoded.'),
  },
];

/** Exit code of ffmpeg for more decoding errors than `-max_error_rate` allows. */
const TOO_MANY_ERRORS = 69;

/** Whether an encoder did what it was asked for, as far as it knows itself. */
export const endedWell = ({ code, leftOut }: Ending): boolean => code === 0 && !leftOut;

/** Why an encoder that did not end well failed. */
export function endingFailure(ending: Ending): Failure {
  const facts = { code: ending.code, signal: ending.signal, stderr: ending.stderr.slice(-MAX_FACT_CHARS) };
  const { code, retry, message } = explainEnding(ending);
  return new Failure(code, message, { retry, facts });
}

const MAX_FACT_CHARS = 2000;

function explainEnding({ code, signal, stderr, leftOut }: Ending): Failure {
  if (signal !== null) return killed(signal);
  for (const { pattern, failure } of COMPLAINTS) {
    const match = pattern.exec(stderr);
    if (match !== null) return failure(match);
  }
  if (code === TOO_MANY_ERRORS || leftOut)
    return unreadableMedia('The media is damaged: it cannot be decoded without errors.')();
  // By its own decision, over these bytes: a second try tells whether it was chance.
  return new Failure(
    'encoder-failed',
    `The encoder failed with exit code ${String(code)}; the log has its last words.`,
    { sort: 'recording', retry: 'again' },
  );
}

function killed(signal: NodeJS.Signals): Failure {
  const why: Partial<Record<NodeJS.Signals, string>> = {
    SIGKILL: ': out of memory, or killed by hand',
  };
  return new Failure('encoder-failed', `The encoder was ended by ${signal}${why[signal] ?? ''}.`);
}

/** Limits of the machine, which pass; anything else needs somebody. */
const SHORTAGES = ['EAGAIN', 'EMFILE', 'ENFILE', 'ENOMEM'];

const SHORTAGE_MS = 2000;

/** Why a process could not be started at all. */
export function spawnFailure(cause: unknown): Failure {
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : 'unknown';
  if (SHORTAGES.includes(code)) {
    return new Failure('busy', `The machine cannot start another encoder now (${code}).`, {
      cause,
      afterMs: SHORTAGE_MS,
    });
  }
  return new Failure(
    'misconfigured',
    `ffmpeg could not be started (${code}); check that it is installed and executable.`,
    { cause },
  );
}
