/** What is missing from an Opus stream → packets that sound of nothing and last as long (RFC 6716 §3, §4.3). */
import { CELT_FRAMES, MAX_PACKET_SAMPLES, type OpusHead, packetSamples, writeSelfDelimited } from './opus.ts';

/** Silence lasts a multiple of the shortest frame there is: 2.5 ms. */
export const SILENCE_STEP = 120;

/** Two bytes that a CELT frame of any length and bandwidth decodes to digital silence: its first symbol, "silence", is set (RFC 6716 §4.3). */
const CELT_SILENCE = [0xff, 0xfe];

/**
 * CELT configuration of the shortest frame, by configuration: of the same bandwidth, where CELT has it (medium-band becomes
 * wide-band).
 */
function celtConfig(config: number): number {
  if (config < 4) return 16;
  if (config < 12) return 20;
  if (config < 16) return config < 14 ? 24 : 28;
  return config & ~3;
}

/**
 * A packet of one stream that is silent for so many samples, a multiple of {@link SILENCE_STEP} up to 120 ms, with bandwidth and
 * channels of the packet that begins with `toc`. SILK has no way to say "nothing", so it is CELT, which every decoder switches
 * to in one packet.
 */
function silence(samples: number, toc: number): Buffer {
  // The longest frame that divides the packet: one of it, or several of equal length (code 3, CBR).
  const length = CELT_FRAMES.findLastIndex((frame) => samples % frame === 0);
  const count = samples / (CELT_FRAMES[length] ?? SILENCE_STEP);
  const head = ((celtConfig(toc >> 3) + length) << 3) | (toc & 4);
  if (count === 1) return Buffer.from([head, ...CELT_SILENCE]);
  return Buffer.from([head | 3, count, ...Array.from({ length: count }, () => CELT_SILENCE).flat()]);
}

/** A packet of silence as long as `like`, of its bandwidth and channels. Undefined where `like` is no valid packet. */
export function silenceLike(like: Uint8Array): Buffer | undefined {
  const toc = like[0];
  const samples = packetSamples(like);
  return toc === undefined || samples === undefined ? undefined : silence(samples, toc);
}

/**
 * A packet of the same shape whose frames are all empty, which a decoder takes for lost (RFC 6716 §3.2.1): at the very
 * beginning it gives silence and leaves the decoder as new. Undefined where `like` is no valid packet.
 */
export function lostLike(like: Uint8Array): Buffer | undefined {
  const toc = like[0];
  if (toc === undefined || packetSamples(like) === undefined) return undefined;
  if ((toc & 3) === 0) return Buffer.from([toc]);
  if ((toc & 3) < 3) return Buffer.from([(toc & ~3) | 1]);
  return Buffer.from([toc, (like[1] ?? 0) & 63]);
}

/** Packets that are silent for so many samples, rounded down to whole steps: as long as `like`, and the rest in a shorter one. */
export function* silentPackets(samples: number, like: Uint8Array, head: OpusHead): Generator<Buffer, void, void> {
  const whole = Math.min(packetSamples(like) ?? MAX_PACKET_SAMPLES, MAX_PACKET_SAMPLES);
  const packet = silenceOfStreams(whole, like, head);
  let left = samples;
  for (; left >= whole; left -= whole) yield packet;
  const rest = left - (left % SILENCE_STEP);
  if (rest > 0) yield silenceOfStreams(rest, like, head);
}

/** All streams of a packet but the last are self-delimited (RFC 7845 §3, RFC 6716 appendix B). */
function silenceOfStreams(samples: number, like: Uint8Array, { streams, coupled }: OpusHead): Buffer {
  const toc = like[0] ?? 0;
  const parts = Array.from({ length: streams }, (_, index) => {
    // A stream that is not of several codes its own channels in each packet.
    const channels = streams === 1 ? toc & 4 : index < coupled ? 4 : 0;
    return silence(samples, (toc & ~4) | channels);
  });
  return Buffer.concat(parts.map((part, index) => (index === streams - 1 ? part : selfDelimited(part))));
}

function selfDelimited(packet: Uint8Array): Buffer {
  const target = Buffer.alloc(packet.length + 2);
  return target.subarray(0, writeSelfDelimited(target, 0, packet));
}
