/** What asked over HTTP is let go of once its answer is over, and told everything until then. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { test, type TestContext } from 'node:test';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { request } from 'undici';
import { openOutbound } from '../src/outbound.ts';
import { portOf } from './support/genesys/media-host.ts';

const LIMITS = { connectTimeoutMs: 10_000, headersTimeoutMs: 10_000, bodyTimeoutMs: 10_000 };
const ASKED = 400;
/** Of the asker, by each answer. */
const HEARD_BYTES = 8 * 1024;

async function serving(t: TestContext, server: Server): Promise<URL> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return new URL(`http://127.0.0.1:${String(portOf(server))}/`);
}

function minorCollection(): (options: { readonly type: 'minor' }) => void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  assert.ok(typeof collect === 'function');
  return (options) => void collect(options);
}

const oldBytes = (): number =>
  getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')?.space_used_size ?? 0;

test('what heard of an answer that is over is young garbage, and moves to no old heap', async (t) => {
  const url = await serving(
    t,
    createServer((_, res) => res.end('{}')),
  );
  const dispatcher = openOutbound(LIMITS, undefined);
  t.after(() => dispatcher.destroy());
  const collect = minorCollection();
  const ask = async (): Promise<void> => {
    const { body } = await request(url, { dispatcher });
    const heard = Array.from({ length: HEARD_BYTES / 8 }, (_, index) => index);
    body.on('data', () => heard.push(heard.length));
    await once(body, 'end');
  };
  for (let warm = 0; warm < 50; warm += 1) await ask();
  const before = oldBytes();
  for (let asked = 1; asked <= ASKED; asked += 1) {
    await ask();
    if (asked % 20 === 0) collect({ type: 'minor' });
  }
  const movedBytes = oldBytes() - before;
  assert.ok(movedBytes < (ASKED * HEARD_BYTES) / 2, `${String(movedBytes)} bytes are taken for alive`);
});

test('an answer that pauses, breaks off or is called off is told as it is', async (t) => {
  const url = await serving(
    t,
    createServer((req, res) => {
      res.writeHead(200, { 'content-length': 4_000_000 });
      if (req.url === '/cut') res.write('x', () => res.destroy());
      else if (req.url === '/whole') res.end(Buffer.alloc(4_000_000, 1));
      else res.write('x');
    }),
  );
  const dispatcher = openOutbound(LIMITS, undefined);
  t.after(() => dispatcher.destroy());
  const whole = await request(new URL('/whole', url), { dispatcher, highWaterMark: 1_000 });
  let sizeBytes = 0;
  for await (const chunk of whole.body) sizeBytes += Buffer.from(chunk).length;
  assert.equal(sizeBytes, 4_000_000);
  const cut = await request(new URL('/cut', url), { dispatcher });
  await assert.rejects(cut.body.text(), { code: 'UND_ERR_SOCKET' });
  const stop = new AbortController();
  const stopped = await request(new URL('/stopped', url), { dispatcher, signal: stop.signal });
  const reading = stopped.body.text();
  stop.abort(new Error('Enough.'));
  await assert.rejects(reading, /Enough/);
  await assert.rejects(request(url, { dispatcher, signal: stop.signal }), /Enough/);
  const nobody = createServer();
  const gone = await serving(t, nobody);
  nobody.close();
  await once(nobody, 'close');
  await assert.rejects(request(gone, { dispatcher }), { code: 'ECONNREFUSED' });
});
