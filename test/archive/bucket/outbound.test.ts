/** The bucket behind a proxy, and behind certificates nobody here vouches for. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { openBucketArchive, type BucketArchive } from '../../../src/archive/bucket/bucket.ts';
import { BucketClient } from '../../../src/archive/bucket/client.ts';
import { downloadStream } from '../../../src/archive/bucket/download.ts';
import { Failure, type FailureCode } from '../../../src/failure.ts';
import { QUICK } from '../../support/archive/bucket.ts';
import { bytesOf, store, type Content } from '../../support/archive/content.ts';
import { auditArchive } from '../../support/gcs/audit.ts';
import { startGcsServer } from '../../support/gcs/server.ts';
import { startProxy, type Proxy, type ProxyOptions } from '../../support/proxy.ts';
import { createByNoAuthority, createSelfSigned } from '../../support/self-signed.ts';

const CALL = { recordingId: 'R1', conversationId: 'C1' };
const CONTENT: Content = { head: bytesOf('head', 300), clusters: [bytesOf('body', 400_000)] };

/** A bucket under a name that only the proxy can lead anywhere. */
async function behindProxy(
  t: TestContext,
  options: Partial<ProxyOptions>,
  user = '',
): Promise<{ archive: BucketArchive; proxy: Proxy }> {
  const server = await startGcsServer({ audits: [auditArchive({ ebml: false })] });
  const proxy = await startProxy({ ports: { 'storage.test:80': Number(new URL(server.url).port) }, ...options });
  const url = proxy.url.replace('//', `//${user}`);
  const archive = openBucketArchive({
    bucket: server.bucket,
    prefix: '',
    apiEndpoint: 'http://storage.test',
    holdBackBytes: 64 * 1024,
    retry: { ...QUICK, attempts: 2 },
    proxies: { http: url, https: url, noProxy: '' },
  });
  t.after(async () => {
    await archive.close();
    await Promise.all([proxy.close(), server.close()]);
  });
  return { archive, proxy };
}

test('an answer that ends well before what it announced is asked for again so often, and no more', async (t) => {
  let requests = 0;
  const server = createHttpServer((_req, res) => {
    requests += 1;
    res.writeHead(206, { 'content-range': 'bytes 0-99/100', 'x-goog-generation': '1' });
    res.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const apiEndpoint = `http://127.0.0.1:${String(address.port)}`;
  const client = new BucketClient({ bucket: 'b', prefix: '', apiEndpoint, retry: { ...QUICK, attempts: 3 } });
  t.after(async () => {
    await client.close();
    server.close();
  });
  await assert.rejects(
    buffer(downloadStream({ name: 'x', range: { start: 0, end: 99 } }, client, signal())),
    isFailure('archive-unavailable', /fewer bytes/),
  );
  assert.equal(requests, 3);
});

test('a bucket that only a proxy leads to is written, found, listed and swept through it (E2)', async (t) => {
  const { archive, proxy } = await behindProxy(t, { credentials: 'name:secret' }, 'name:secret@');
  await archive.check(signal());
  const manifest = await store(archive, CALL, CONTENT);
  assert.deepEqual(await archive.find(CALL, signal()), manifest);
  assert.equal((await archive.list({ limit: 10 }, signal())).entries.length, 1);
  await archive.sweep(0, signal());
  assert.ok(proxy.requests.length > 10);
  assert.ok(proxy.requests.every((line) => line.includes('storage.test')));
});

test('a proxy that asks who is there is named, and the work waits (E2)', async (t) => {
  const { archive } = await behindProxy(t, { credentials: 'name:secret' });
  await assert.rejects(archive.find(CALL, signal()), isFailure('archive-unavailable', /407/));
  await assert.rejects(store(archive, CALL, CONTENT), isFailure('archive-unavailable', /407/));
});

test('a proxy that leads nowhere, breaks off or answers with a page of its own is waited for (E2) (C6)', async (t) => {
  const { archive, proxy } = await behindProxy(t, { ports: {} });
  const page = '<html>Log in</html>';
  for (const fault of [
    undefined,
    'fin' as const,
    'reset' as const,
    { raw: `HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: ${String(page.length)}\r\n\r\n${page}` },
    { raw: 'HTTP/1.1 302 Found\r\nLocation: http://login.test/\r\nContent-Length: 0\r\n\r\n' },
    { raw: 'HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n' },
  ]) {
    proxy.spoil(fault);
    for (const work of [
      () => archive.find(CALL, signal()),
      () => archive.list({ limit: 1 }, signal()),
      () => archive.failureOf(CALL, signal()),
      () => archive.removeFailure(CALL, signal()),
      () => store(archive, CALL, CONTENT),
    ]) {
      await assert.rejects(work(), (error) => {
        assert.ok(error instanceof Failure && error.retry === 'wait', `${JSON.stringify(fault)}: ${String(error)}`);
        assert.equal(error.code, 'archive-unavailable', JSON.stringify(fault));
        return true;
      });
    }
  }
});

for (const [what, { key, cert }] of [
  ['self-signed', createSelfSigned()],
  ['signed by no authority', createByNoAuthority()],
] as const) {
  test(`a certificate that is ${what} is for somebody to mend, and said how (E7)`, async (t) => {
    const server = createServer({ key, cert }, (_asked, answer) => void answer.end('{}'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const apiEndpoint = `https://localhost:${String(address.port)}`;
    const archive = openBucketArchive({ bucket: 'b', prefix: '', apiEndpoint, retry: QUICK });
    t.after(async () => {
      await archive.close();
      server.close();
    });
    await assert.rejects(archive.find(CALL, signal()), isFailure('misconfigured', /NODE_EXTRA_CA_CERTS/));
    await assert.rejects(archive.check(signal()), isFailure('misconfigured', /NODE_EXTRA_CA_CERTS/));
  });
}

function isFailure(code: FailureCode, words: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  };
}

function signal(): AbortSignal {
  return AbortSignal.timeout(300_000);
}
