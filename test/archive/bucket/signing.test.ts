/** Links and tokens without a key, as on Cloud Run: a metadata server gives tokens, the IAM Credentials API signs. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, mock, test } from 'node:test';
import { promisify } from 'node:util';
import { createGoogleAuth } from '../../../src/archive/bucket/auth.ts';
import { linkLifetimeS } from '../../../src/archive/bucket/links.ts';
import { LinkSigner } from '../../../src/archive/bucket/signer.ts';
import {
  openBucketArchive,
  type BucketArchive,
  type BucketArchiveOptions,
} from '../../../src/archive/bucket/bucket.ts';
import { openArchive } from '../../../src/archive/open-archive.ts';
import { readConfig } from '../../../src/config/config.ts';
import { Failure } from '../../../src/failure.ts';
import { keyInEnvironment, QUICK } from '../../support/archive/bucket.ts';
import { bytesOf, store, type Content } from '../../support/archive/content.ts';
import { auditArchive } from '../../support/gcs/audit.ts';
import { startGcsServer, type GcsServer } from '../../support/gcs/server.ts';
import { verifySignedUrl } from '../../support/gcs/signed.ts';
import { startMetadataServer, type MetadataServer } from '../../support/metadata-server.ts';
import { found } from '../../support/archive/found.ts';

const CALL = { recordingId: 'R1', conversationId: 'C1' };
const CONTENT: Content = { head: bytesOf('head', 300), clusters: [bytesOf('body', 400_000)] };
const WHOLE = Buffer.concat([CONTENT.head, ...CONTENT.clusters]);

const SETTINGS = ['GOOGLE_APPLICATION_CREDENTIALS', 'GCE_METADATA_HOST', 'METADATA_SERVER_DETECTION', 'HOME'] as const;
const saved = new Map(SETTINGS.map((name) => [name, process.env[name]]));
let metadata: MetadataServer;

before(async () => {
  metadata = await startMetadataServer();
  delete process.env['GOOGLE_APPLICATION_CREDENTIALS'];
  process.env['GCE_METADATA_HOST'] = metadata.host;
  process.env['METADATA_SERVER_DETECTION'] = 'assume-present';
  process.env['HOME'] = '/nonexistent'; // no gcloud login of whoever runs this
});

after(async () => {
  for (const [name, value] of saved) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  await metadata.close();
});

interface Keyless {
  readonly server: GcsServer;
  readonly archive: BucketArchive;
}

/** Every request has to carry a token that the metadata server gave out. */
async function withKeyless(
  run: (keyless: Keyless) => Promise<void>,
  options: Partial<BucketArchiveOptions> = {},
): Promise<void> {
  const { email, publicKey, tokens, signingEndpoint } = metadata;
  const server = await startGcsServer({
    audits: [auditArchive({ ebml: false })],
    tokens,
    signer: { email, publicKey },
  });
  const base = { bucket: server.bucket, prefix: '', apiEndpoint: server.url, sendTokens: true, signingEndpoint };
  const archive = openBucketArchive({ ...base, holdBackBytes: 64 * 1024, retry: QUICK, ...options });
  try {
    await run({ server, archive });
    server.assertSound();
  } finally {
    mock.timers.reset();
    await archive.close();
    await server.close();
  }
}

function signal(): AbortSignal {
  return AbortSignal.timeout(300_000);
}

describe('without a key', () => {
  test('a link is signed by the IAM call, and plays in ranges with its type and a name', async () => {
    await withKeyless(async ({ archive }) => {
      await store(archive, CALL, CONTENT);
      const { url, expiresAt } = await archive.link(await found(archive, CALL), { lifetimeS: 600 }, signal());
      const query = new URL(url).searchParams;
      assert.equal(query.get('X-Goog-Algorithm'), 'GOOG4-RSA-SHA256');
      assert.ok(Number(query.get('X-Goog-Expires')) <= 600);
      assert.ok(Math.abs(Date.parse(expiresAt) - Date.now() - 600_000) < 10_000);
      const whole = await fetch(url);
      assert.ok(Buffer.from(await whole.arrayBuffer()).equals(WHOLE));
      assert.equal(whole.headers.get('content-type'), 'audio/webm');
      assert.equal(whole.headers.get('content-disposition'), 'inline; filename="R1.webm"');
      const part = await fetch(url, { headers: { range: 'bytes=300-309' } });
      assert.equal(part.status, 206);
      assert.ok(Buffer.from(await part.arrayBuffer()).equals(WHOLE.subarray(300, 310)));
    });
  });

  test('the same link is given while more than half of its life is left, then a new one', async () => {
    await withKeyless(async ({ archive }) => {
      await store(archive, CALL, CONTENT);
      mock.timers.enable({ apis: ['Date'], now: Date.now() });
      const signed = metadata.count('signBlob');
      const first = await archive.link(await found(archive, CALL), { lifetimeS: 600 }, signal());
      mock.timers.tick(299_000);
      assert.deepEqual(await archive.link(await found(archive, CALL), { lifetimeS: 600 }, signal()), first);
      assert.equal(metadata.count('signBlob'), signed + 1);
      assert.notEqual((await archive.link(await found(archive, CALL), { lifetimeS: 1200 }, signal())).url, first.url);
      mock.timers.tick(2_000);
      const second = await archive.link(await found(archive, CALL), { lifetimeS: 600 }, signal());
      assert.notEqual(second.url, first.url);
      assert.equal(metadata.count('signBlob'), signed + 3);
      mock.timers.tick(300_000);
      assert.equal((await fetch(first.url)).status, 403, 'the first has expired');
      assert.equal((await fetch(second.url)).status, 200);
    });
  });

  test('a clock that was wrong when a link was signed, and is set, brings a new one that plays', async () => {
    await withKeyless(async ({ archive }) => {
      await store(archive, CALL, CONTENT);
      const now = Date.now();
      mock.timers.enable({ apis: ['Date'], now: now + 365 * 24 * 3_600_000 });
      const ahead = await archive.link(await found(archive, CALL), { lifetimeS: 600 }, signal());
      mock.timers.setTime(now);
      const second = await archive.link(await found(archive, CALL), { lifetimeS: 600 }, signal());
      assert.notEqual(second.url, ahead.url);
      assert.equal((await fetch(second.url)).status, 200);
    });
  });

  test('a link names whom it was given to, and in which request, for Cloud Storage’s own log; each person has his own', async () => {
    await withKeyless(async ({ archive }) => {
      await store(archive, CALL, CONTENT);
      const manifest = await found(archive, CALL);
      const give = async (who: string, requestId: string): Promise<string> =>
        (await archive.link(manifest, { lifetimeS: 600, who, requestId }, signal())).url;
      const odd = 'Ana & Søn <qa/1>';
      const first = await give(odd, 'request-1');
      const query = new URL(first).searchParams;
      assert.equal(query.get('x-goog-custom-audit-user'), odd);
      assert.equal(query.get('x-goog-custom-audit-request'), 'request-1');
      assert.equal((await fetch(first)).status, 200);
      assert.equal(await give(odd, 'request-2'), first, 'whoever asks again is given it again');
      const other = await give('somebody', 'request-3');
      assert.equal(new URL(other).searchParams.get('x-goog-custom-audit-user'), 'somebody');
      for (const change of [
        (url: URL) => url.searchParams.set('x-goog-custom-audit-user', 'nobody'),
        (url: URL) => url.searchParams.delete('x-goog-custom-audit-user'),
        (url: URL) => url.searchParams.set('x-goog-custom-audit-request', 'another'),
      ]) {
        const changed = new URL(first);
        change(changed);
        assert.equal((await fetch(changed)).status, 403, 'the signature covers it');
      }
    });
  });

  test('a missing right to sign says which role to grant, and heals', async () => {
    await withKeyless(async ({ archive }) => {
      await store(archive, CALL, CONTENT);
      metadata.refuseSigning(403);
      await assert.rejects(archive.link(await found(archive, CALL), { lifetimeS: 600 }, signal()), (error) => {
        return (
          error instanceof Failure &&
          error.code === 'misconfigured' &&
          /roles\/iam\.serviceAccountTokenCreator/.test(error.message)
        );
      });
      metadata.refuseSigning(undefined);
      assert.ok((await archive.link(await found(archive, CALL), { lifetimeS: 600 }, signal())).url);
    });
  });

  test('credentials that cannot be used are named, not a right, and heal', async () => {
    const order = { name: 'o', contentType: 'audio/webm', disposition: 'inline', audited: {} };
    const expiresAt = new Date(Date.now() + 60_000);
    const signer = new LinkSigner({ bucket: 'b', auth: createGoogleAuth() });
    process.env['GOOGLE_APPLICATION_CREDENTIALS'] = '/nonexistent/key.json';
    try {
      await assert.rejects(signer.sign({ ...order, expiresAt }, signal()), {
        code: 'misconfigured',
        message: /the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be used/,
      });
    } finally {
      delete process.env['GOOGLE_APPLICATION_CREDENTIALS'];
    }
    const key = await keyInEnvironment();
    try {
      assert.match(await signer.sign({ ...order, expiresAt }, signal()), /^https:/);
    } finally {
      await key.remove();
    }
  });

  test('a token that was revoked is fetched anew, once, by uploads, downloads, listing and deletion', async () => {
    await withKeyless(async ({ archive, server }) => {
      await store(archive, CALL, CONTENT);
      for (const work of [
        () => archive.find(CALL, signal()),
        () => archive.list({ limit: 5 }, signal()),
        () => archive.check(signal()),
        () => archive.sweep(0, signal()),
        () =>
          store(
            archive,
            { recordingId: 'R2', conversationId: 'C1' },
            { ...CONTENT, clusters: [bytesOf('b', 5_000_000)] },
          ),
      ]) {
        const given = metadata.tokens.size;
        const revoked = [...metadata.tokens];
        metadata.tokens.clear();
        for (const token of revoked) metadata.tokens.add(`revoked ${token}`);
        await work();
        assert.ok(metadata.tokens.size > given, 'no new token was asked for');
      }
      assert.ok(server.seen.every((seen) => seen.headers.authorization?.startsWith('Bearer token-') ?? false));
    });
  });

  test('a refused token that stays refused is misconfigured, not retried for ever', async () => {
    await withKeyless(async ({ archive, server }) => {
      server.gate = () => ({ kind: 'return', status: 401, afterBytes: undefined });
      await assert.rejects(archive.find(CALL, signal()), (error) => {
        return (
          error instanceof Failure &&
          error.code === 'misconfigured' &&
          /does not accept the credentials/.test(error.message)
        );
      });
      assert.ok(server.seen.length <= 4, String(server.seen.length));
    });
  });
});

test('links point to the host the bucket is served under, where there is one', async () => {
  await withKeyless(
    async ({ archive }) => {
      await store(archive, CALL, CONTENT);
      const { url } = await archive.link(await found(archive, CALL), { lifetimeS: 600 }, signal());
      assert.equal(new URL(url).origin, 'https://media.example.com');
      assert.equal(new URL(url).pathname, '/recordings/C1/R1/recording.webm');
    },
    { linkHost: 'https://media.example.com' },
  );
});

test('GCS_LINK_HOST is where links point, and their signature covers it', async () => {
  const key = await keyInEnvironment();
  const server = await startGcsServer({ audits: [auditArchive({ ebml: false })], signer: key.signer });
  const env = {
    ARCHIVE_URL: `gs://${server.bucket}/calls`,
    GCS_API_ENDPOINT: server.url,
    WEBHOOK_TOKENS: 'a-webhook-token-of-ours',
  };
  try {
    const linkOf = async (more: Readonly<Record<string, string>>): Promise<URL> => {
      const { archive } = await openArchive(readConfig({ ...env, ...more }, 'receiver'), { publicUrl: '' });
      await store(archive, CALL, CONTENT);
      const { url } = await archive.link(await found(archive, CALL), { lifetimeS: 600 }, signal());
      await archive.close();
      return new URL(url);
    };
    const own = await linkOf({ GCS_LINK_HOST: 'media.example.com' });
    assert.equal(`${own.origin}${own.pathname}`, 'https://media.example.com/calls/recordings/C1/R1/recording.webm');
    assert.equal(own.searchParams.get('X-Goog-SignedHeaders'), 'host');
    assert.equal(verifySignedUrl(own, key.signer), undefined);
    own.hostname = 'elsewhere.example.com';
    assert.equal(verifySignedUrl(own, key.signer), 'the signature is wrong');
    const usual = await linkOf({});
    assert.equal(usual.pathname, `/${server.bucket}/calls/recordings/C1/R1/recording.webm`);
    const played = await fetch(usual);
    assert.ok(Buffer.from(await played.arrayBuffer()).equals(WHOLE));
  } finally {
    await server.close();
    await key.remove();
  }
});

test('a link lives as long as asked, or one and a half times the recording up to an hour, and never above seven days', () => {
  const minutes = 60_000;
  assert.equal(linkLifetimeS(900, 2 * minutes), 900);
  assert.equal(linkLifetimeS(900, 20 * minutes), 1800);
  assert.equal(linkLifetimeS(900, 600 * minutes), 3600);
  assert.equal(linkLifetimeS(7200, 600 * minutes), 7200);
  assert.equal(linkLifetimeS(999_999, 0), 604_800);
});

test('Google’s library is loaded by the first link alone: who makes none starts without it', async () => {
  const server = await startGcsServer();
  try {
    const line = ['--input-type=module', '--eval', LOADER, server.url];
    const { stdout } = await promisify(execFile)(process.execPath, line, { cwd: import.meta.dirname });
    assert.equal(stdout, 'google-auth-library\n');
    assert.ok(server.count('get') > 0, 'it has asked');
  } finally {
    await server.close();
  }
});

/** Says which of Google's packages are there once an archive was opened and asked. */
const LOADER = `
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
const { openBucketArchive } = await import('../../../src/archive/bucket/bucket.ts');
const archive = openBucketArchive({ bucket: 'recordings-test', prefix: '', apiEndpoint: process.argv[1], sendTokens: false });
await archive.find({ recordingId: 'R1', conversationId: 'C1' }, AbortSignal.timeout(300_000)).catch(() => undefined);
await archive.close();
const files = Object.keys(createRequire(pathToFileURL('loader.js')).cache);
const google = ['@google-cloud/storage', 'google-auth-library'].filter((name) => files.some((file) => file.includes(name)));
console.log(google.join());
`;
