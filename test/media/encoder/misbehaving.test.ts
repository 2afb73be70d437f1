/** Encoders that misbehave, in ffmpeg's place, behind the real `encode`: nothing of them passes for a recording, nothing of them stays. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Failure } from '../../../src/failure.ts';
import { encode, type Encoded } from '../../../src/media/encoder/encode.ts';
import type { Ffmpeg } from '../../../src/media/encoder/check.ts';
import { UNCONFINED } from '../../../src/media/encoder/confine.ts';
import type { Media } from '../../../src/media/sniff.ts';
import { readWebm } from '../../../src/media/webm/reader.ts';
import { type EncoderOrder, type EncoderProcess, startEncoder } from '../../../src/media/encoder/process.ts';
import { nextTryOf } from '../../../src/delivery/schedule.ts';
import { Slots } from '../../../src/media/encoder/slots.ts';
import { failureOf } from '../../support/failure-of.ts';
import { allPackets, source as bytesOf } from '../../support/media/packets.ts';
import { wav } from '../../support/media/wav.ts';
import { openStaging } from '../../support/encoders/fake.ts';
import { until } from '../../support/service/service.ts';
import { Purpose } from '../../../src/media/purpose.ts';

const staging = await openStaging();
after(() => staging[Symbol.asyncDispose]());

/** Packets of a whole sample. */
const WHOLE = (await allPackets(await readWebm(bytesOf(staging.sample)))).length;

const SPEECH: Media = { kind: 'wav', codec: 'pcm', channels: 1, sampleRate: 8000 };
const HANG = { timeout: 300_000 };

/** Ten seconds of sound in pieces; says whether it was read to its end and whether it was let go. */
class Source implements AsyncIterable<Buffer> {
  ended = false;
  left = false;
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    try {
      const file = wav(80_000);
      for (let at = 0; at < file.length; at += 16_384) yield file.subarray(at, at + 16_384);
      this.ended = true;
    } finally {
      this.left = true;
    }
  }
}

interface Try {
  readonly ffmpeg: Ffmpeg;
  readonly source?: AsyncIterable<Buffer>;
  readonly stallMs?: number;
  readonly signal?: AbortSignal;
}

function start({ ffmpeg, source = new Source(), stallMs = 240_000, signal }: Try): Promise<Encoded> {
  const job = { media: [SPEECH], sources: [source], maxDurationMs: 60_000 };
  return encode(job, { ffmpeg, stallMs }, signal ?? new AbortController().signal);
}

/** Packets until the end; throws what they throw. */
async function drain(encoded: Encoded): Promise<number> {
  let packets = 0;
  for await (const batch of encoded.packets) packets += batch.length;
  return packets;
}

test(
  'invariant 4: half of the output, then exit 1, is a failure of what its last words say (FF-03)',
  HANG,
  async () => {
    const failure = await failureOf(start({ ffmpeg: await staging.fake('crash-midway') }).then(drain));
    assert.equal(failure.code, 'unreadable-media');
    assert.deepEqual(await staging.leftovers(), []);
  },
);

test('a stop that comes while an encoder starts ends it, whatever its source still has to say', HANG, async () => {
  const stop = new AbortController();
  const start = async (order: EncoderOrder): Promise<EncoderProcess> => {
    const encoder = await startEncoder(staging.real, order);
    stop.abort(new Failure('stopped', 'The service is stopping.'));
    return encoder;
  };
  const silent = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) };
  const job = { media: [SPEECH], sources: [silent], maxDurationMs: 60_000 };
  const failure = await failureOf(encode(job, { ffmpeg: staging.real, start }, stop.signal).then(drain));
  assert.equal(failure.message, 'The service is stopping.');
  assert.deepEqual(await staging.leftovers(), []);
});

test('invariant 4: exit 3 a second after a whole output is a failure (FF-04)', HANG, async () => {
  const source = new Source();
  const failure = await failureOf(start({ ffmpeg: await staging.fake('crash-late'), source }).then(drain));
  assert.equal(failure.code, 'encoder-failed');
  assert.equal(failure.facts['code'], 3);
  assert.ok(source.ended);
  assert.deepEqual(await staging.leftovers(), []);
});

test('invariant 4: SIGKILL after whole clusters is a failure that names the signal (FF-07)', HANG, async () => {
  const work = failureOf(start({ ffmpeg: await staging.fake('killed') }).then(drain));
  await staging.kill('sleep');
  const failure = await work;
  assert.equal(failure.code, 'encoder-failed');
  assert.match(failure.message, /SIGKILL/);
  assert.deepEqual(await staging.leftovers(), []);
});

test(
  '(A10) one that computes for ever is ended by its limit of CPU: the media’s own doing, tried twice',
  HANG,
  async () => {
    const ffmpeg = await staging.fake('burns');
    const job = { media: [SPEECH], sources: [new Source()], maxDurationMs: 60_000 };
    const soon = (order: EncoderOrder): Promise<EncoderProcess> =>
      startEncoder(ffmpeg, { ...order, limits: { ...order.limits, cpuS: 1 } });
    const failure = await failureOf(encode(job, { ffmpeg, start: soon }, new AbortController().signal).then(drain));
    assert.deepEqual([failure.code, failure.sort, failure.retry], ['encoder-failed', 'recording', 'again']);
    assert.match(failure.message, /used up the 1 s of CPU/);
    assert.equal(nextTryOf(failure, { attempt: 2, ageMs: 0 }), undefined);
    assert.deepEqual(await staging.leftovers(), []);
  },
);

test('invariant 4: exit 0 with nothing read and nothing written is a failure', HANG, async () => {
  const failure = await failureOf(start({ ffmpeg: await staging.fake('leave-early') }).then(drain));
  assert.equal(failure.code, 'encoder-failed');
});

test(
  'invariant 4: exit 0 does not hide that a packet was passed over, as ffmpeg does from version 7 on',
  HANG,
  async () => {
    const failure = await failureOf(start({ ffmpeg: await staging.fake('leaves-out') }).then(drain));
    assert.equal(failure.code, 'unreadable-media');
    assert.equal(failure.facts['code'], 0);
  },
);

test(
  'exit 0 before the input ends still reads the source to its proven end: durations decide (FF-10)',
  HANG,
  async () => {
    const source = new Source();
    const packets = await drain(await start({ ffmpeg: await staging.fake('short'), source }));
    assert.ok(packets > 0);
    assert.ok(source.ended, 'the source was not read to its end');
  },
);

async function* broken(): AsyncGenerator<Buffer, void, void> {
  yield wav(80_000).subarray(0, 100_000);
  await new Promise((resolve) => setTimeout(resolve, 200));
  throw new Failure('incomplete', 'The media ended too early.');
}

test('invariant 4: exit 0 does not hide that the source broke', HANG, async () => {
  const failure = await failureOf(start({ ffmpeg: await staging.fake('short'), source: broken() }).then(drain));
  assert.equal(failure.code, 'incomplete');
  assert.deepEqual(await staging.leftovers(), []);
});

test('an output that is no WebM is a failure of the encoder', HANG, async () => {
  const failure = await failureOf(start({ ffmpeg: await staging.fake('babbles') }).then(drain));
  assert.equal(failure.code, 'encoder-failed');
  assert.deepEqual(await staging.leftovers(), []);
});

for (const name of ['silent', 'deaf', 'stalls', 'lingers'] as const) {
  test(
    `invariant 5: ${name}: killed once it has neither read nor written for the time given (FF-05, FF-06)`,
    HANG,
    async () => {
      const source = new Source();
      const failure = await failureOf(start({ ffmpeg: await staging.fake(name), source, stallMs: 300 }).then(drain));
      assert.equal(failure.code, 'encoder-failed');
      assert.match(failure.message, /neither read nor wrote/);
      assert.ok(source.left, 'the source was not let go');
      assert.deepEqual(await staging.leftovers(), []);
    },
  );
}

test('a pause shorter than the time given is tolerated (FF-08)', HANG, async () => {
  assert.equal(await drain(await start({ ffmpeg: await staging.fake('pauses'), stallMs: 60_000 })), WHOLE);
});

/** Begins, and then lets everybody wait. */
async function* slow(): AsyncGenerator<Buffer, void, void> {
  yield wav(80_000).subarray(0, 16_384);
  await new Promise((resolve) => setTimeout(resolve, 600_000).unref());
}

test('an encoder that waits for a slow source is not to blame', HANG, async () => {
  const stop = AbortSignal.timeout(3000);
  const work = start({ ffmpeg: staging.real, source: slow(), stallMs: 1000, signal: stop });
  assert.equal((await failureOf(work.then(drain))).code, 'stopped');
});

test('an encoder whose reader takes its time is not to blame', HANG, async () => {
  const stop = new AbortController();
  const encoded = await start({ ffmpeg: await staging.fake('killed'), stallMs: 3000, signal: stop.signal });
  await new Promise((resolve) => setTimeout(resolve, 4000));
  stop.abort();
  assert.equal((await failureOf(drain(encoded))).code, 'stopped');
});

test('100 MB of complaints neither block it nor are kept (FF-09)', HANG, async () => {
  const measured = Promise.withResolvers<Buffer>();
  async function* patient(): AsyncGenerator<Buffer, void, void> {
    yield await measured.promise;
  }
  const before = await keptBytes();
  const encoded = await start({ ffmpeg: await staging.fake('flood'), source: patient() });
  const kept = (await keptBytes()) - before;
  measured.resolve(wav(80_000));
  assert.equal(await drain(encoded), WHOLE);
  assert.ok(kept < 30_000_000, `${String(kept)} bytes`);
});

/** What is left in memory when nothing is garbage; buffers are freed a moment after they are collected. */
async function keptBytes(): Promise<number> {
  setFlagsFromString('--expose_gc');
  const collect: unknown = runInNewContext('gc');
  let least = Infinity;
  for (let turn = 0; turn < 10; turn += 1) {
    if (typeof collect === 'function') collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const { heapUsed, external } = process.memoryUsage();
    least = Math.min(least, heapUsed + external);
  }
  return least;
}

test(
  'invariant 5: a grandchild that keeps the pipes open neither stays nor holds up the end (FF-11)',
  HANG,
  async () => {
    assert.equal(await drain(await start({ ffmpeg: await staging.fake('forks') })), WHOLE);
    assert.deepEqual(await staging.leftovers(), []);
  },
);

for (const name of ['silent', 'deaf', 'forks', 'stalls'] as const) {
  test(`invariant 5: ${name}: an abort kills it and lets go of the source`, HANG, async () => {
    const controller = new AbortController();
    const source = new Source();
    const work = start({ ffmpeg: await staging.fake(name), source, signal: controller.signal }).then(
      async (encoded) => {
        controller.abort(new Failure('stopped', 'The service is stopping.'));
        return drain(encoded);
      },
    );
    setTimeout(() => controller.abort(new Failure('stopped', 'The service is stopping.')), 300);
    const failure = await failureOf(work);
    assert.equal(failure.code, 'stopped');
    assert.equal(failure.message, 'The service is stopping.');
    assert.ok(source.left);
    assert.deepEqual(await staging.leftovers(), []);
  });
}

test('invariant 5: leaving the packets kills the encoder and lets go of the source', HANG, async () => {
  const source = new Source();
  const encoded = await start({ ffmpeg: await staging.fake('stalls'), source });
  for await (const batch of encoded.packets) if (batch.length > 0) break;
  assert.deepEqual(await staging.leftovers(), []);
  assert.ok(source.left);
});

test('invariant 5: packets that are left before the first one count too', HANG, async () => {
  const encoded = await start({ ffmpeg: await staging.fake('stalls') });
  await encoded.packets[Symbol.asyncIterator]().return?.();
  assert.deepEqual(await staging.leftovers(), []);
});

test('an abort before the start starts nothing', HANG, async () => {
  const failure = await failureOf(start({ ffmpeg: staging.real, signal: AbortSignal.abort() }));
  assert.equal(failure.code, 'stopped');
  assert.deepEqual(await staging.census(), []);
});

test('an ffmpeg that is gone is a misconfiguration, and the process lives (FF-01)', HANG, async () => {
  const nowhere = { ...staging.real, path: '/nowhere/ffmpeg' };
  for (const ffmpeg of [nowhere, { ...nowhere, confinement: UNCONFINED }]) {
    assert.equal((await failureOf(start({ ffmpeg }).then(drain))).code, 'misconfigured');
  }
});

const orphans = staging.real.confinement.layers.includes('tether') ? false : 'needs setpriv';

test(
  'invariant 5: the encoder dies with a service that is killed (FF-12)',
  { ...HANG, skip: orphans },
  async (context) => {
    const ffmpeg = await staging.fake('deaf');
    const script = join(import.meta.dirname, '../../support/encoders/host.ts');
    const host = spawn(process.execPath, [script, ffmpeg.path, ffmpeg.searchPath], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    context.after(() => host.kill('SIGKILL'));
    await once(host.stdout, 'data');
    assert.notDeepEqual(await staging.appearance(), []);
    host.kill('SIGKILL');
    await once(host, 'close');
    assert.deepEqual(await staging.leftovers(), []);
  },
);

const invisible = existsSync('/proc/self/environ') ? false : 'needs /proc';

test('an encoder has one arena for its memory, however many threads it has', { ...HANG, skip: invisible }, async () => {
  const stop = new AbortController();
  const ended = failureOf(start({ ffmpeg: await staging.fake('silent'), signal: stop.signal }).then(drain));
  // Between two programs of its start a process shows no environment.
  const isTold = async (): Promise<true | undefined> => {
    const ids = await staging.census();
    const told = await Promise.all(ids.map((id) => readFile(`/proc/${id}/environ`, 'latin1').catch(() => '')));
    return told.some((environment) => environment.split('\0').includes('MALLOC_ARENA_MAX=1')) || undefined;
  };
  try {
    assert.equal(await until(isTold, AbortSignal.timeout(60_000)), true);
  } finally {
    stop.abort(new Failure('stopped', 'The test has seen it.'));
    await ended;
  }
  assert.deepEqual(await staging.leftovers(), []);
});

test(
  'invariant 5: with two slots there are never more than two encoders (FF-13)',
  { ...HANG, skip: invisible },
  async () => {
    const slots = new Slots({ slots: 2, maxWaiting: 0, archives: true });
    const never = new AbortController().signal;
    const counts: number[] = [];
    const over = new AbortController();
    const sampling = (async () => {
      while (!over.signal.aborted) {
        counts.push((await staging.census('ffmpeg')).length);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    try {
      const jobs = Array.from({ length: 7 }, async () => {
        using _slot = await slots.acquire(new Purpose('archiving'), never);
        return drain(await start({ ffmpeg: staging.real }));
      });
      for (const packets of await Promise.all(jobs)) assert.ok(packets > 0);
    } finally {
      over.abort();
      await sampling;
    }
    const most = Math.max(...counts);
    assert.ok(most >= 1 && most <= 2, `${String(most)} at once`);
    assert.deepEqual(await staging.leftovers(), []);
  },
);
