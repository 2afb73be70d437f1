import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { test } from 'node:test';
import { Failure } from '../../src/failure.ts';
import { createVerify, type Verify } from '../../src/http/signature.ts';
import { keysOf } from '../support/keys.ts';

const BODY = Buffer.from('{"recordingId":"r-1"}');
const NOW_S = 1_700_000_000;
const SECRET = 'raw text secret';
const WHSEC = `whsec_${randomBytes(24).toString('base64')}`;

interface Proofs {
  readonly required?: boolean;
  readonly secrets?: readonly string[];
  readonly tokens?: readonly string[];
}

function verifyWith({ required = true, secrets = [], tokens = [] }: Proofs, nowS = NOW_S): Verify {
  return createVerify({ required, secrets: keysOf(...secrets), tokens: keysOf(...tokens) }, () => nowS * 1000);
}

function passes(auth: Proofs, headers: IncomingHttpHeaders, body: Buffer = BODY, nowS = NOW_S): boolean {
  try {
    verifyWith(auth, nowS)(headers, body);
    return true;
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.status, 401);
    return false;
  }
}

function sign(key: string | Buffer, timestamp: number | string = NOW_S, body: Buffer = BODY): IncomingHttpHeaders {
  const hmac = createHmac('sha256', key)
    .update(`msg_1.${String(timestamp)}.`)
    .update(body)
    .digest('base64');
  return { 'webhook-id': 'msg_1', 'webhook-timestamp': String(timestamp), 'webhook-signature': `v1,${hmac}` };
}

const hub = (key: string, encoding: 'hex' | 'base64', body: Buffer = BODY): IncomingHttpHeaders => ({
  'x-hub-signature-256': `sha256=${createHmac('sha256', key).update(body).digest(encoding)}`,
});

// https://github.com/standard-webhooks/standard-webhooks: the vector its libraries are tested with.
test('the published vector of Standard Webhooks passes, and nothing beside it', () => {
  const auth = { secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'] };
  const body = Buffer.from('{"test": 2432232314}');
  const headers = {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  };
  assert.equal(passes(auth, headers, body, 1614265330), true);
  assert.equal(passes(auth, { ...headers, 'webhook-id': 'msg_other' }, body, 1614265330), false);
  assert.equal(passes(auth, { ...headers, 'webhook-timestamp': '1614265331' }, body, 1614265330), false);
  assert.equal(passes(auth, headers, Buffer.from('{"test":2432232314}'), 1614265330), false);
});

test('a secret is base64 after whsec_, else the text itself', () => {
  assert.equal(passes({ secrets: [SECRET] }, sign(SECRET)), true);
  assert.equal(passes({ secrets: [WHSEC] }, sign(Buffer.from(WHSEC.slice(6), 'base64'))), true);
  assert.equal(passes({ secrets: [WHSEC] }, sign(WHSEC)), false);
});

test('no header, no entry (IN-01)', () => {
  assert.equal(passes({ secrets: [SECRET], tokens: ['t'] }, {}), false);
});

test('a random signature of any length is refused, never an error (IN-02)', () => {
  const good = sign(SECRET);
  for (let length = 0; length <= 200; length += 1) {
    const guess = randomBytes(length).toString('base64').slice(0, length);
    assert.equal(
      passes({ secrets: [SECRET], tokens: ['a token'] }, { ...good, 'webhook-signature': `v1,${guess}` }),
      false,
    );
    assert.equal(passes({ secrets: [SECRET] }, { 'x-hub-signature-256': `sha256=${guess}` }), false);
    assert.equal(passes({ tokens: ['a token'] }, { 'x-webhook-token': guess }), false);
  }
});

test('each bit of a short body is under the signature (IN-03)', () => {
  for (const headers of [sign(SECRET), hub(SECRET, 'hex'), hub(SECRET, 'base64')]) {
    assert.equal(passes({ secrets: [SECRET] }, headers), true);
    for (let bit = 0; bit < BODY.length * 8; bit += 1) {
      const changed = Buffer.from(BODY);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      assert.equal(passes({ secrets: [SECRET] }, headers, changed), false);
    }
  }
});

const signedAt = (timestamp: number | string): boolean => passes({ secrets: [SECRET] }, sign(SECRET, timestamp));

test('300 s either way pass, 301 s do not, and what is no number never does (IN-04)', () => {
  assert.deepEqual(
    [-301, -300, 0, 300, 301].map((age) => signedAt(NOW_S + age)),
    [false, true, true, true, false],
  );
  for (const odd of ['', 'now', '1e9', '0x6553f100', `${String(NOW_S)}.0`, ` ${String(NOW_S)}`, 'NaN', '-1']) {
    assert.equal(signedAt(odd), false, odd);
  }
});

test('while secrets are rotated either passes, and the dropped one no more (IN-06)', () => {
  assert.equal(passes({ secrets: ['new', SECRET] }, sign(SECRET)), true);
  assert.equal(passes({ secrets: ['new', SECRET] }, sign('new')), true);
  assert.equal(passes({ secrets: ['new'] }, sign(SECRET)), false);
  const both = `${String(sign('other')['webhook-signature'])} ${String(sign(SECRET)['webhook-signature'])}`;
  assert.equal(passes({ secrets: [SECRET] }, { ...sign(SECRET), 'webhook-signature': both }), true);
});

test('other versions and algorithms are not looked at (IN-07)', () => {
  const good = String(sign(SECRET)['webhook-signature']).slice(3);
  for (const signature of [
    `v1a,${good}`,
    `v2,${good}`,
    `V1,${good}`,
    good,
    `,${good}`,
    'v1,',
    'v1',
    'none',
    `v1, ${good}`,
  ]) {
    assert.equal(passes({ secrets: [SECRET] }, { ...sign(SECRET), 'webhook-signature': signature }), false, signature);
  }
  const mixed = { ...sign(SECRET), 'webhook-signature': `v1a,xxxx v1,${good} v9,yyyy` };
  assert.equal(passes({ secrets: [SECRET] }, mixed), true);
  const sha1 = createHmac('sha1', SECRET).update(BODY).digest('hex');
  assert.equal(passes({ secrets: [SECRET] }, { 'x-hub-signature-256': `sha1=${sha1}` }), false);
  assert.equal(passes({ secrets: [SECRET] }, { 'x-hub-signature': `sha1=${sha1}` }), false);
});

test('X-Hub-Signature-256 may be hex in either case, or base64 to the letter', () => {
  assert.equal(passes({ secrets: ['x', SECRET] }, hub(SECRET, 'hex')), true);
  assert.equal(passes({ secrets: ['x', SECRET] }, hub(SECRET, 'base64')), true);
  const upper = String(hub(SECRET, 'hex')['x-hub-signature-256']).slice(7).toUpperCase();
  assert.equal(passes({ secrets: [SECRET] }, { 'x-hub-signature-256': `sha256=${upper}` }), true);
  const folded = String(hub(SECRET, 'base64')['x-hub-signature-256']).toLowerCase();
  assert.equal(passes({ secrets: [SECRET] }, { 'x-hub-signature-256': folded }), false);
});

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

test('a token passes as X-Webhook-Token, Bearer or Basic password, any of several', () => {
  const auth = { tokens: ['first-token', 'second:token'] };
  assert.equal(passes(auth, { 'x-webhook-token': 'first-token' }), true);
  assert.equal(passes(auth, { authorization: 'Bearer second:token' }), true);
  assert.equal(passes(auth, { authorization: 'bearer first-token' }), true);
  assert.equal(passes(auth, { authorization: basic('anyone:second:token') }), true);
  assert.equal(passes(auth, { authorization: basic('first-token') }), false);
  assert.equal(passes(auth, { authorization: basic('first-token:') }), false);
  assert.equal(passes(auth, { authorization: 'first-token' }), false);
  assert.equal(passes(auth, { authorization: 'Bearer first-token, Bearer x' }), false);
  assert.equal(passes(auth, { 'x-webhook-token': 'first-token, first-token' }), false);
  assert.equal(passes({ tokens: [] }, { 'x-webhook-token': '' }), false);
});

test('a secret or token whose last day is over proves nothing any more, and the refusal says so (B2)', () => {
  const [old, good] = [
    { name: 'old', secret: SECRET, lastDay: '2020-01-31' },
    { name: 'good', secret: 'another webhook secret', lastDay: '2999-12-31' },
  ] as const;
  const verify = createVerify({ required: true, secrets: [old, good], tokens: [old, good] }, () => NOW_S * 1000);
  for (const headers of [sign(SECRET), hub(SECRET, 'hex'), hub(SECRET, 'base64'), { 'x-webhook-token': SECRET }])
    assert.throws(() => verify(headers, BODY), { code: 'unauthorized', message: /was good until 2020-01-31/ });
  for (const headers of [sign(good.secret), hub(good.secret, 'hex'), { 'x-webhook-token': good.secret }])
    verify(headers, BODY);
});

test('a secret that is taken away verifies nothing from the next request on (B2)', () => {
  let secrets = keysOf('first webhook secret', SECRET);
  const auth = {
    required: true,
    tokens: [],
    get secrets() {
      return secrets;
    },
  };
  const verify = createVerify(auth, () => NOW_S * 1000);
  verify(sign(SECRET), BODY);
  secrets = keysOf('first webhook secret');
  assert.throws(() => verify(sign(SECRET), BODY), { code: 'unauthorized' });
  verify(sign('first webhook secret'), BODY);
});

test('nothing is asked for where nothing is required', () => {
  assert.equal(passes({ required: false }, {}), true);
});
