/** Generated legs of a call as Ogg Opus (starts, holes, links, gains, trimmed ends), each with what has to be heard of it and when. */
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { packetSamples, parseOpusHead } from '../../../src/media/opus.ts';
import { readOggOpus } from '../../../src/media/ogg/ogg-opus.ts';
import { decodeOpus, ffmpeg } from './ffmpeg.ts';
import { oggPage, OPUS_TAGS } from './ogg-write.ts';
import { allPackets, opusHead, source } from './packets.ts';

const RATE = 48_000;

// ── speech-like sound ───────────────────────────────────────────────────────────────────────────────────────────

/** The next number from 0 to 1 (mulberry32): the same for the same seed. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Syllables of harmonics and noise that never repeat, so soft that no gain of a test makes it clip, in 16 bit. */
function speech(seconds: number, seed: number): Buffer {
  const random = randomOf(seed);
  const bytes = Buffer.alloc(seconds * RATE * 2);
  let phase = 0;
  for (let at = 0; at < seconds * RATE;) {
    const length = Math.round((0.08 + random() * 0.2) * RATE);
    const pitch = 90 + random() * 160;
    const bright = random();
    const loud = 0.03 + random() * 0.07;
    for (let i = 0; i < length && at < seconds * RATE; i += 1, at += 1) {
      const shape = Math.sin((Math.PI * i) / length) * loud;
      phase += (2 * Math.PI * pitch * (1 + 0.1 * Math.sin(i / 3000))) / RATE;
      let voice = 0;
      for (let harmonic = 1; harmonic < 12; harmonic += 1)
        voice += Math.sin(phase * harmonic) / (1 + harmonic * bright);
      const value = shape * (voice * 0.4 + (random() - 0.5) * bright);
      bytes.writeInt16LE(Math.round(Math.max(-1, Math.min(1, value)) * 32_000), at * 2);
    }
  }
  return bytes;
}

// ── coded sound to cut legs from ────────────────────────────────────────────────────────────────────────────────

/** Packets of one coding, and what a decoder makes of them. */
export interface Coded {
  readonly name: string;
  readonly packets: readonly Buffer[];
  /** Of each packet. */
  readonly samples: number;
  /** All of the decoder's output from the pre-skip on. */
  readonly sound: Float32Array;
  readonly preSkip: number;
}

/** SILK, hybrid and CELT in all their frame lengths. */
export const CODINGS: Readonly<Record<string, readonly string[]>> = {
  'SILK 10 ms': ['-application', 'voip', '-b:a', '12k', '-cutoff', '4000', '-frame_duration', '10'],
  'SILK 20 ms': ['-application', 'voip', '-b:a', '12k', '-cutoff', '8000', '-frame_duration', '20'],
  'SILK 40 ms': ['-application', 'voip', '-b:a', '10k', '-cutoff', '6000', '-frame_duration', '40'],
  'SILK 60 ms': ['-application', 'voip', '-b:a', '12k', '-cutoff', '8000', '-frame_duration', '60'],
  'hybrid 10 ms': ['-application', 'voip', '-b:a', '28k', '-cutoff', '12000', '-frame_duration', '10'],
  'hybrid 20 ms': ['-application', 'voip', '-b:a', '28k', '-cutoff', '20000', '-frame_duration', '20'],
  'CELT 2.5 ms': ['-application', 'lowdelay', '-b:a', '64k', '-frame_duration', '2.5'],
  'CELT 5 ms': ['-application', 'lowdelay', '-b:a', '48k', '-frame_duration', '5'],
  'CELT 20 ms': ['-application', 'audio', '-b:a', '64k', '-frame_duration', '20'],
  'CELT 60 ms': ['-application', 'audio', '-b:a', '64k', '-frame_duration', '60'],
};

const LIBRARY_S = 9;

/** Each coding of each of as many voices. */
export async function codeVoices(folder: string, voices: number): Promise<readonly (readonly Coded[])[]> {
  const library: Coded[][] = [];
  for (let voice = 0; voice < voices; voice += 1) {
    const raw = path.join(folder, `voice${String(voice)}.raw`);
    await writeFile(raw, speech(LIBRARY_S, 100 + voice));
    const coded: Coded[] = [];
    for (const [name, args] of Object.entries(CODINGS)) coded.push(await code(raw, { name, args }));
    library.push(coded);
    await rm(raw);
  }
  return library;
}

async function code(
  raw: string,
  { name, args }: { readonly name: string; readonly args: readonly string[] },
): Promise<Coded> {
  const input = ['-f', 's16le', '-ar', String(RATE), '-ac', '1', '-i', raw];
  const file = await ffmpeg(...input, '-c:a', 'libopus', ...args, '-f', 'ogg', 'pipe:1');
  const packets = (await allPackets(await readOggOpus(source(file)))).map(({ data }) => Buffer.from(data));
  const preSkip = parseOpusHead(file.subarray(28))?.preSkip ?? 0;
  await writeFile(`${raw}.opus`, file);
  const [sound = new Float32Array()] = await decodeOpus(`${raw}.opus`, 1);
  await rm(`${raw}.opus`);
  return { name, packets, samples: packetSamples(packets[0] ?? Buffer.alloc(0)) ?? 0, sound, preSkip };
}

// ── legs ────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface RunPlan {
  /** Of the coded sound: the first packet, and how many. */
  readonly from: number;
  readonly count: number;
  /** Samples left out before it. */
  readonly hole: number;
}

export interface LinkPlan {
  /** dB; to the nearest 1/256. */
  readonly gainDb: number;
  readonly preSkip: number;
  readonly runs: readonly RunPlan[];
  /** Samples cut off at its end. */
  readonly trim: number;
}

export interface LegPlan {
  readonly coded: Coded;
  /** Samples it had been running when its first packet was recorded. */
  readonly start: number;
  readonly links: readonly LinkPlan[];
  readonly packetsPerPage: number;
}

/** What has to be heard: the samples from `start` on are those of `sound`, times `gain`. */
export interface Heard {
  readonly start: number;
  readonly sound: Float32Array;
  readonly gain: number;
}

export interface Leg {
  readonly file: Buffer;
  readonly heard: readonly Heard[];
  /** Where it begins, in samples. */
  readonly start: number;
  /** Where it ends, in samples; counted as the starts are. */
  readonly end: number;
}

/** The file, and what it means by RFC 7845: what is heard when, counted from the moment that granule position 0 stands for. */
export function writeLeg(plan: LegPlan): Leg {
  const pages: Buffer[] = [];
  const heard: Heard[] = [];
  let begins = plan.start;
  for (const [index, link] of plan.links.entries()) {
    const first = index === 0 ? plan.start : 0;
    pages.push(...linkPages(plan, link, { first, serial: 1000 + index }));
    let place = begins - link.preSkip;
    for (const run of link.runs) {
      place += run.hole;
      heard.push(heardOf(plan.coded, run, { place, gain: 10 ** (link.gainDb / 20), from: begins }));
      place += run.count * plan.coded.samples;
    }
    begins = place - link.trim;
    const last = heard.at(-1);
    if (last !== undefined) heard[heard.length - 1] = { ...last, sound: last.sound.subarray(0, begins - last.start) };
  }
  return { file: Buffer.concat(pages), heard, start: plan.start, end: begins };
}

/** `place` is where its first packet lies, `from` where its link begins to be heard. */
function heardOf(
  coded: Coded,
  run: RunPlan,
  { place, gain, from }: { readonly place: number; readonly gain: number; readonly from: number },
): Heard {
  // What the packets give lies before the pre-skip of the coded sound, which was taken off.
  const begin = run.from * coded.samples - coded.preSkip;
  const end = begin + run.count * coded.samples;
  const late = Math.max(0, -begin, from - place);
  return { start: place + late, sound: coded.sound.subarray(begin + late, Math.min(end, coded.sound.length)), gain };
}

function linkPages(plan: LegPlan, link: LinkPlan, at: { readonly first: number; readonly serial: number }): Buffer[] {
  const { serial } = at;
  const head = opusHead(1);
  head.writeUInt16LE(link.preSkip, 10);
  head.writeInt16LE(Math.round(link.gainDb * 256), 16);
  const pages = [
    oggPage({ packets: [head], granule: 0, flags: 2, serial }),
    oggPage({ packets: [OPUS_TAGS], granule: 0, sequence: 1, serial }),
  ];
  let granule = at.first;
  for (const [index, run] of link.runs.entries()) {
    granule += run.hole;
    const isLastRun = index === link.runs.length - 1;
    for (let done = 0; done < run.count; done += plan.packetsPerPage) {
      const count = Math.min(plan.packetsPerPage, run.count - done);
      const packets = plan.coded.packets.slice(run.from + done, run.from + done + count);
      granule += count * plan.coded.samples;
      const isLast = isLastRun && done + count >= run.count;
      const position = isLast ? granule - link.trim : granule;
      pages.push(oggPage({ packets, granule: position, sequence: pages.length, serial, flags: isLast ? 4 : 0 }));
    }
  }
  return pages;
}
