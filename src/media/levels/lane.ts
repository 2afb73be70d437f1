/** One channel, frame by frame → its levels, and where somebody speaks on it. */
import { type ChannelLevels, LEVEL_STEP_DB, LEVELS_PER_S, type SpeechSpan } from '../../levels.ts';
import { OPUS_RATE } from '../opus.ts';

const TENTH_SAMPLES = OPUS_RATE / LEVELS_PER_S;

/** A day: what lasts longer has no levels. */
const MAX_TENTHS = 24 * 3600 * LEVELS_PER_S;

/** A minute; more is made room for by doubling. */
const FIRST_TENTHS = 60 * LEVELS_PER_S;

/** A shorter pause does not end a turn, and what is shorter is no speech: 0.4 and 0.2 s. */
const MIN_PAUSE = 4;
const MIN_SPEECH = 2;

/** Values of {@link LEVEL_STEP_DB} below full scale. */
const MAX_LEVEL = 255;
const levelOfDb = (db: number): number => MAX_LEVEL + db / LEVEL_STEP_DB;

/** Nothing quieter is speech, whatever the line is like. */
const QUIETEST_SPEECH = levelOfDb(-48);

/** Speech is no quieter than this below the loudest of its channel, and so much above its line noise, as far as that leaves any. */
const BELOW_LOUDEST = 25 / LEVEL_STEP_DB;
const ABOVE_NOISE = 8 / LEVEL_STEP_DB;
const LEAST_BELOW_LOUDEST = 12 / LEVEL_STEP_DB;

export class Lane {
  #values = new Uint8Array(FIRST_TENTHS);
  /** 1 for a tenth with a voice, as far as its frames tell. */
  #voices = new Uint8Array(FIRST_TENTHS);
  /** The tenth that is open: where it ends, its mean squares by samples, and its samples with a voice. */
  #tenth = 0;
  #end = TENTH_SAMPLES;
  #energy = 0;
  #voiced = 0;

  /** A frame at `sample`, behind all before it; its mean square, full scale being 1. @throws RangeError beyond a day */
  add(sample: number, samples: number, heard: { readonly power: number; readonly isVoice: boolean }): void {
    const end = sample + samples;
    for (let at = Math.max(0, sample); at < end;) {
      if (at >= this.#end) this.#open(Math.floor(at / TENTH_SAMPLES));
      const next = Math.min(end, this.#end);
      this.#energy += heard.power * (next - at);
      if (heard.isVoice) this.#voiced += next - at;
      at = next;
    }
  }

  /** Of so many tenths: what is missing is silent, what is behind them is not heard. Nothing may be added afterwards. */
  levels(tenths: number): ChannelLevels {
    this.#open(Math.max(this.#tenth + 1, tenths));
    const values = this.#values.slice(0, tenths);
    return { values, speech: speechIn(values, this.#voices) };
  }

  #open(tenth: number): void {
    if (tenth > MAX_TENTHS) throw new RangeError('The sound lasts longer than a day.');
    const db = 10 * Math.log10(this.#energy / TENTH_SAMPLES);
    if (tenth >= this.#values.length) this.#grow(tenth);
    this.#values[this.#tenth] = Math.min(Math.max(Math.round(levelOfDb(db)), 0), MAX_LEVEL);
    this.#voices[this.#tenth] = this.#voiced > TENTH_SAMPLES / 4 ? 1 : 0;
    this.#tenth = tenth;
    this.#end = (tenth + 1) * TENTH_SAMPLES;
    this.#energy = 0;
    this.#voiced = 0;
  }

  #grow(tenth: number): void {
    const length = Math.max(tenth + 1, 2 * this.#values.length);
    const [values, voices] = [new Uint8Array(length), new Uint8Array(length)];
    values.set(this.#values);
    voices.set(this.#voices);
    this.#values = values;
    this.#voices = voices;
  }
}

function speechIn(values: Uint8Array, voices: Uint8Array): readonly SpeechSpan[] {
  const least = thresholdOf(values);
  const speech: SpeechSpan[] = [];
  let start = -1;
  let end = 0;
  const close = (): void => {
    if (start >= 0 && end - start >= MIN_SPEECH) speech.push({ start, end });
  };
  for (let tenth = 0; tenth < values.length; tenth += 1) {
    if ((values[tenth] ?? 0) < least || voices[tenth] !== 1) continue;
    if (start < 0 || tenth - end >= MIN_PAUSE) {
      close();
      start = tenth;
    }
    end = tenth + 1;
  }
  close();
  return speech;
}

/** Below it nobody speaks. */
function thresholdOf(values: Uint8Array): number {
  const counts = new Uint32Array(MAX_LEVEL + 1);
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  const noise = quantile(counts, values.length * 0.1);
  const loudest = quantile(counts, values.length * 0.98);
  const aboveNoise = Math.min(noise + ABOVE_NOISE, loudest - LEAST_BELOW_LOUDEST);
  return Math.max(QUIETEST_SPEECH, loudest - BELOW_LOUDEST, aboveNoise);
}

function quantile(counts: Uint32Array, rank: number): number {
  let below = 0;
  for (let value = 0; value < counts.length; value += 1) {
    below += counts[value] ?? 0;
    if (below > rank) return value;
  }
  return MAX_LEVEL;
}
