/** A seed → sound that is like speech to a codec: turns of voiced and hissing syllables, each turn as loud as it likes, and pauses. */
import { seeded } from '../soak.ts';

/** Of what it makes: 16 bit, one channel. */
export const SPEECH_RATE = 48_000;

/** Resonances of three vowels, hertz. */
const VOWELS = [
  [700, 1200, 2600],
  [300, 2200, 3000],
  [450, 900, 2400],
] as const;

/** Turns of 1 to 3 s with pauses of 0.5 to 1.5 s between them, over noise 70 dB below full scale. */
export function speechPcm(seed: number, seconds: number): Buffer {
  const random = seeded(seed);
  const sound = new Float32Array(Math.round(seconds * SPEECH_RATE));
  for (let at = 0; at < sound.length;) {
    const turn = Math.round((1 + 2 * random()) * SPEECH_RATE);
    speakTurn(sound.subarray(at, at + turn), random);
    at += turn + Math.round((0.5 + random()) * SPEECH_RATE);
  }
  const pcm = Buffer.alloc(sound.length * 2);
  for (const [index, sample] of sound.entries()) {
    const noisy = sample + (random() - 0.5) * 0.001;
    pcm.writeInt16LE(Math.round(Math.max(-1, Math.min(1, noisy)) * 32_767), index * 2);
  }
  return pcm;
}

/** From 0 to 24 dB below the loudest turn there may be. */
function speakTurn(turn: Float32Array, random: () => number): void {
  const loudness = 0.35 * 10 ** (-1.2 * random());
  for (let at = 0; at < turn.length;) {
    const syllable = turn.subarray(at, at + Math.round((0.12 + 0.18 * random()) * SPEECH_RATE));
    if (random() < 0.25) hiss(syllable, loudness * 0.15, random);
    else voice(syllable, loudness, random);
    at += syllable.length;
  }
}

function hiss(syllable: Float32Array, loudness: number, random: () => number): void {
  let last = 0;
  for (let i = 0; i < syllable.length; i += 1) {
    const noise = random() * 2 - 1;
    syllable[i] = (noise - last) * loudness * swell(i / syllable.length);
    last = noise;
  }
}

/** Pulses of a throat through the resonances of a mouth. */
function voice(syllable: Float32Array, loudness: number, random: () => number): void {
  const pitch = 90 + 120 * random();
  const vowel = VOWELS[Math.floor(random() * VOWELS.length)] ?? VOWELS[0];
  const resonators = vowel.map((hertz) => resonator(hertz));
  let phase = 0;
  for (let i = 0; i < syllable.length; i += 1) {
    phase += (pitch * (1 + 0.1 * Math.sin(i / 9000))) / SPEECH_RATE;
    const pulse = phase >= 1 ? 1 : 0;
    phase %= 1;
    const sample = resonators.reduce((sum, resonate, index) => sum + resonate(pulse) / (index + 1), 0);
    syllable[i] = sample * loudness * swell(i / syllable.length);
  }
}

function resonator(hertz: number): (input: number) => number {
  const decay = Math.exp((-Math.PI * 90) / SPEECH_RATE);
  const turn = 2 * decay * Math.cos((2 * Math.PI * hertz) / SPEECH_RATE);
  let [one, two] = [0, 0];
  return (input) => {
    const output = input + turn * one - decay * decay * two;
    two = one;
    one = output;
    return output * 0.25;
  };
}

function swell(part: number): number {
  return Math.sin(Math.PI * part) ** 0.5;
}
