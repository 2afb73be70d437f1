/** Random 429s, latencies, callers and windows: nothing is sent while a Retry-After holds, and everything is sent in the end (F2). */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fc } from '../support/generated.ts';
import { Agent, type Dispatcher } from 'undici';
import { Allowance, type BookedCall } from '../../src/genesys/allowance.ts';
import { Api } from '../../src/genesys/api.ts';
import type { GenesysCaller } from '../../src/genesys/genesys.ts';
import { portOf } from '../support/genesys/media-host.ts';
import { runs, SEED } from '../support/soak.ts';
import { VirtualTime } from '../support/virtual-time.ts';

interface Scene {
  readonly allowed: number;
  readonly windowS: number;
  readonly calls: readonly {
    readonly atMs: number;
    readonly caller: GenesysCaller;
    readonly latencyMs: number;
    /** Answers of its tries: a Retry-After in seconds, or none. */
    readonly refusals: readonly number[];
  }[];
}

const SCENE: fc.Arbitrary<Scene> = fc.record({
  allowed: fc.integer({ min: 3, max: 60 }),
  windowS: fc.integer({ min: 1, max: 90 }),
  calls: fc.array(
    fc.record({
      atMs: fc.integer({ min: 0, max: 120_000 }),
      caller: fc.constantFrom<GenesysCaller>('worker', 'listener'),
      latencyMs: fc.integer({ min: 1, max: 4_000 }),
      refusals: fc.array(fc.integer({ min: 1, max: 2_000 }), { maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 120 },
  ),
});

const BELIEVED_MS = 15 * 60_000;

/** Genesys with its window, and callers who do as `OAuthClient` does; gives what was sent when, by whom. */
function play(scene: Scene): void {
  const time = new VirtualTime();
  const allowance = new Allowance();
  let [windowEnd, count] = [0, 0];
  let promisedUntil = 0;
  let done = 0;

  const answer = (call: Scene['calls'][number], turn: BookedCall, tried: number): void => {
    if (time.now >= windowEnd) [windowEnd, count] = [time.now + scene.windowS * 1_000, 0];
    count += 1;
    const headers = {
      'inin-ratelimit-allowed': String(scene.allowed),
      'inin-ratelimit-count': String(count),
      'inin-ratelimit-reset': String(Math.ceil((windowEnd - time.now) / 1_000)),
    };
    const refusal = call.refusals[tried];
    time.after(call.latencyMs, () => {
      allowance.settle(turn, headers, time.now);
      if (refusal === undefined) return void (done += 1);
      allowance.pause(refusal * 1_000, time.now);
      promisedUntil = Math.max(promisedUntil, time.now + Math.min(refusal * 1_000, BELIEVED_MS));
      time.after(refusal * 1_000, () => ask(call, tried + 1));
    });
  };
  const ask = (call: Scene['calls'][number], tried: number): void => {
    const turn = allowance.book(call.caller, time.now);
    const wait = (): void => {
      const leftMs = allowance.leftMs(turn, time.now);
      if (leftMs > 0) return time.after(Math.ceil(leftMs), wait);
      assert.ok(time.now >= promisedUntil, `sent ${String(promisedUntil - time.now)} ms too early`);
      answer(call, turn, tried);
    };
    wait();
  };
  for (const call of scene.calls) time.after(call.atMs, () => ask(call, 0));
  time.run();
  assert.equal(done, scene.calls.length);
}

test('invariant 7: in any interleaving nothing is sent before the latest promised time, and all is sent in the end (F2)', () => {
  fc.assert(fc.property(SCENE, play), { seed: SEED, numRuns: runs(150, 5_000) });
});

/** Stamps each request with the moment it leaves, and notes when a refusal has arrived. */
function stamping(onRefusal: (retryAfterMs: number) => void): Dispatcher {
  return new Agent().compose((dispatch) => (options, handler) => {
    const headers = [...Object.entries(options.headers ?? {}).flat(), 'x-left-at', String(performance.now())];
    return dispatch(
      { ...options, headers },
      {
        ...bound(handler),
        onResponseStart: (controller, status, answered, message) => {
          if (status === 429) onRefusal(Number(answered['retry-after']) * 1_000);
          return handler.onResponseStart?.(controller, status, answered, message);
        },
      },
    );
  });
}

/** Handlers are classes: their methods need their own this. */
function bound(handler: Dispatcher.DispatchHandler): Dispatcher.DispatchHandler {
  return {
    onRequestStart: (controller, context) => handler.onRequestStart?.(controller, context),
    onResponseData: (controller, chunk) => handler.onResponseData?.(controller, chunk),
    onResponseEnd: (controller, trailers) => handler.onResponseEnd?.(controller, trailers),
    onResponseError: (controller, error) => handler.onResponseError?.(controller, error),
  };
}

const REFUSALS = fc.array(fc.option(fc.integer({ min: 1, max: 2 }), { freq: 2 }), { minLength: 6, maxLength: 6 });

test('invariant 7: at the server, no request left before the latest time that was promised (F2)', async (t) => {
  const scenes = fc.sample(
    fc.record({
      refusals: REFUSALS,
      latencies: fc.array(fc.integer({ max: 300, min: 0 }), { minLength: 6, maxLength: 6 }),
    }),
    { seed: SEED, numRuns: runs(1, 20) },
  );
  for (const { refusals, latencies } of scenes) {
    const early: string[] = [];
    const waiting = refusals.map((seconds, index) => ({ seconds, latencyMs: latencies[index] ?? 0 }));
    const promises: { readonly at: number; readonly until: number }[] = [];
    const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      if (request.url === '/oauth/token')
        return void response.end('{"access_token":"t","token_type":"bearer","expires_in":86399}');
      const leftAt = Number(request.headers['x-left-at']);
      for (const { at, until } of promises)
        if (leftAt > at && leftAt < until) early.push(`${String(until - leftAt)} ms`);
      const told = waiting.shift();
      await delay(told?.latencyMs ?? 0);
      if (typeof told?.seconds === 'number') response.writeHead(429, { 'retry-after': String(told.seconds) });
      response.end('{}');
    };
    const server = createServer((request, response) => void answer(request, response)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const origin = `http://127.0.0.1:${String(portOf(server))}`;
    const agent = stamping((ms) => promises.push({ at: performance.now(), until: performance.now() + ms }));
    const api = new Api(
      { apiUrl: origin, loginUrl: origin, clients: [{ id: 'c', secret: 's' }] },
      { agent, patience: { patienceMs: 60_000, tries: 10, waitMs: () => 1 } },
    );
    const signal = AbortSignal.any([t.signal, AbortSignal.timeout(400_000)]);
    const callers = Array.from({ length: 5 }, async (_, index) => {
      for (let i = 0; i < 3; i++) {
        await api.ask({ path: `/api/v2/${String(index)}`, caller: 'worker' }, signal);
        await delay(20 * index, undefined, { signal });
      }
    });
    await Promise.all(callers);
    assert.deepEqual(early, []);
    assert.equal(waiting.length, 0);
    assert.equal(promises.length, refusals.filter((seconds) => seconds !== null).length);
    api.close();
    await agent.destroy();
    server.close().closeAllConnections();
  }
});
