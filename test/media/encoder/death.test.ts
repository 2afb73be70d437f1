/** An encoder that dies while its source stalls, and the like: the making fails at once, and nothing waits for the media any more. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Failure } from '../../../src/failure.ts';
import { createGenesys } from '../../../src/genesys/open-genesys.ts';
import type { Download, MediaFile } from '../../../src/media-file.ts';
import type { Encoders } from '../../../src/media/encoder/encoders.ts';
import { checkFfmpeg } from '../../../src/media/encoder/check.ts';
import { type EncoderProcess, startEncoder } from '../../../src/media/encoder/process.ts';
import { type MadeWebm, makeWebm, type WebmOrder } from '../../../src/media/make-webm.ts';
import { Slots } from '../../../src/media/encoder/slots.ts';
import { ffmpeg } from '../../support/media/ffmpeg.ts';
import { bytesOfFixture, FIXTURES, pathOfFixture, simulated } from '../../support/media/fixtures.ts';
import { startGenesysServer } from '../../support/genesys/server.ts';
import { OPUS_TAGS, oggPage } from '../../support/media/ogg-write.ts';
import { opusHead } from '../../support/media/packets.ts';
import { wav } from '../../support/media/wav.ts';
import { Purpose } from '../../../src/media/purpose.ts';
import { makingWith } from '../../support/media/making.ts';

const FFMPEG = await checkFfmpeg();
const NEVER = new AbortController().signal;
/** Less than the 30 s after which a download gives up a silent host by itself. */
const HANG = { timeout: 180_000 };

/** A download that gives these bytes and then nothing, as long as nobody closes it. */
class Stalling {
  /** Resolves when more was asked for than there is. */
  readonly stalled = Promise.withResolvers<void>();
  readonly closed = Promise.withResolvers<void>();
  readonly #chunks: Buffer[];

  constructor(bytes: Buffer) {
    this.#chunks = Array.from({ length: Math.ceil(bytes.length / 16_384) }, (_, index) =>
      Buffer.from(bytes.subarray(index * 16_384, (index + 1) * 16_384)),
    );
  }

  /** Read through a generator, as the pipeline does: its `return` waits for the `next` that stalls. */
  file(): MediaFile {
    return {
      channel: '0',
      open: async (signal) => {
        signal.addEventListener('abort', () => this.closed.resolve(), { once: true });
        return {
          contentType: 'application/octet-stream',
          sizeBytes: undefined,
          readRange: undefined,
          isCalledCompressed: false,
          received: () => assert.fail('it never ended'),
          [Symbol.asyncIterator]: () => this.#through(),
        };
      },
    };
  }

  async *#through(): AsyncGenerator<Buffer, void, void> {
    yield* { [Symbol.asyncIterator]: () => this.#iterator() };
  }

  #iterator(): AsyncIterator<Buffer, void> {
    return {
      next: async () => {
        const value = this.#chunks.shift();
        if (value !== undefined) return { done: false, value };
        this.stalled.resolve();
        await this.closed.promise;
        throw new Failure('stopped', 'The download was left before its end.');
      },
      return: async () => {
        this.closed.resolve();
        return { done: true, value: undefined };
      },
    };
  }
}

/** Starts real encoders, and hands out the first. */
function watched(): { readonly encoders: Pick<Encoders, 'start'>; readonly first: Promise<EncoderProcess> } {
  const first = Promise.withResolvers<EncoderProcess>();
  const encoders: Pick<Encoders, 'start'> = {
    start: async (order) => {
      const child = await startEncoder(FFMPEG, order);
      first.resolve(child);
      return child;
    },
  };
  return { encoders, first: first.promise };
}

const CASES: readonly (readonly [string, Buffer, boolean])[] = [
  ['a WAV of which nothing was encoded yet', wav(4_000), false],
  ['a WAV', wav(2_400_000), true],
  ['an MP4', bytesOfFixture('screen-faststart.mp4').subarray(0, -20_000), true],
];

for (const [what, bytes, isMaking] of CASES) {
  test(
    `${what}: an encoder that dies while its source stalls fails at once, and frees slot and download (FF-07)`,
    HANG,
    async (t) => {
      const source = new Stalling(bytes);
      const { made, slots, encoder } = begin([source.file()], t);
      const die = async (): Promise<void> => {
        await source.stalled.promise;
        if (isMaking) await made;
        (await encoder).kill();
      };
      await Promise.all([assertDead(made), die()]);
      assert.equal(slots.running, 0);
      await source.closed.promise;
    },
  );
}

test('the encoder of a real download that stalls may die as well (FF-07)', HANG, async (t) => {
  const server = await startGenesysServer();
  t.after(() => server.close());
  server.addRecording(simulated('R', 'C', FIXTURES.wav));
  const genesys = createGenesys(server.config());
  t.after(() => genesys.close());
  const { files } = await genesys.locate({ recordingId: 'R', conversationId: 'C' }, 'worker', NEVER);
  const [file] = files;
  assert.ok(file);
  server.fault('media:R:*', `stall-after-${String(STALL_BYTES / 1024)}K`);
  const passing = new Passing(file);
  const { made, slots, encoder } = begin([passing.file], t);
  const die = async (): Promise<void> => {
    await passing.stalled.promise;
    (await encoder).kill();
  };
  await Promise.all([assertDead(made), die()]);
  assert.equal(slots.running, 0);
  await passing.left.promise;
  assert.equal(server.requests('media:R:*').length, 1);
  server.assertFaultsUsed();
});

const LOOPED = ['-stream_loop', '3', '-i', pathOfFixture('stereo-pcm.wav')];
const LEFT: readonly (readonly [string, Buffer])[] = [
  ['a WAV', wav(2_400_000)],
  ['a FLAC', (await ffmpeg(...LOOPED, '-c:a', 'flac', '-f', 'flac', 'pipe:1')).subarray(0, -20_000)],
];

for (const [what, bytes] of LEFT) {
  test(
    `invariant 5: ${what} that is left before it was read frees its slot when the encoder is gone`,
    HANG,
    async (t) => {
      const source = new Stalling(bytes);
      const { made, slots, encoder, stop } = begin([source.file()], t);
      await made;
      let isGone = false;
      void (await encoder).ended.then(() => (isGone = true));
      stop.abort();
      using _turn = await slots.acquire(new Purpose('archiving'), NEVER);
      assert.equal(isGone, true);
      await source.closed.promise;
    },
  );
}

test('a channel that cannot be read does not wait for the other, which stalls', HANG, async (t) => {
  const damaged = Buffer.from(bytesOfFixture('dual-0.opus'));
  damaged.fill(0, damaged.indexOf('OggS', 1));
  const tags = oggPage({ packets: [Buffer.concat([OPUS_TAGS, Buffer.alloc(20_000)])], sequence: 1 });
  const unfinished = Buffer.concat([oggPage({ packets: [opusHead(1)], flags: 2 }), tags]).subarray(0, 8_000);
  const [first, second] = [new Stalling(damaged), new Stalling(unfinished)];
  const { made } = begin([first.file(), second.file()], t);
  await assert.rejects(made, (error) => error instanceof Failure && error.code === 'unreadable-media');
  await Promise.all([first.closed.promise, second.closed.promise]);
});

interface Begun {
  readonly made: Promise<MadeWebm>;
  readonly slots: Slots;
  readonly encoder: Promise<EncoderProcess>;
  readonly stop: AbortController;
}

function begin(files: readonly MediaFile[], t: TestContext): Begun {
  const stop = new AbortController();
  t.after(() => stop.abort());
  const slots = new Slots({ slots: 1, maxWaiting: 0, archives: true });
  const { encoders, first } = watched();
  const making: WebmOrder = { files, durationMs: undefined, ways: 'any', purpose: new Purpose('archiving') };
  const made = makeWebm(making, makingWith({ ffmpeg: FFMPEG, slots, encoders }), stop.signal);
  return { made, slots, encoder: first, stop };
}

async function assertDead(made: Promise<MadeWebm>): Promise<void> {
  const read = async (): Promise<void> => {
    for await (const cluster of (await made).clusters) assert.ok(cluster.length > 0);
  };
  await assert.rejects(read(), (error) => error instanceof Failure && error.code === 'encoder-failed');
}

const STALL_BYTES = 512 * 1024;

/** A file as the pipeline reads it; tells when all has come that will come, and when nobody waits for more. */
class Passing {
  readonly stalled = Promise.withResolvers<void>();
  readonly left = Promise.withResolvers<void>();
  readonly file: MediaFile;

  constructor(file: MediaFile) {
    this.file = {
      channel: file.channel,
      open: async (signal) => {
        const download = await file.open(signal);
        const { contentType, isCalledCompressed, sizeBytes, readRange } = download;
        const received = (): ReturnType<Download['received']> => download.received();
        const facts = { contentType, isCalledCompressed, sizeBytes, readRange, received };
        return { ...facts, [Symbol.asyncIterator]: () => this.#chunks(download) };
      },
    };
  }

  async *#chunks(download: Download): AsyncGenerator<Buffer, void, void> {
    let bytes = 0;
    try {
      for await (const chunk of download) {
        bytes += chunk.length;
        yield chunk;
        if (bytes === STALL_BYTES) this.stalled.resolve();
      }
    } finally {
      this.left.resolve();
    }
  }
}
