/** Who may see the console, as the environment says it: what it becomes, or what is wrong with it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from '../../src/config/config.ts';
import { parseGrants } from '../../src/config/console.ts';
import { ConfigProblems } from '../../src/config/reader.ts';
import type { Command } from '../../src/config/variables.ts';
import { identityOf, type Person } from '../../src/console/who/identity.ts';

type Env = Readonly<Record<string, string>>;

const SERVE = {
  GENESYS_REGION: 'mypurecloud.de',
  GENESYS_CLIENT_ID: 'client-1',
  GENESYS_CLIENT_SECRET: 'canary-client-secret',
  WEBHOOK_SECRETS: 'canary-webhook-secret',
};
const KEYS = { API_KEYS: 'canary-api-key-1' };

function problemsOf(env: Env, command: Command = 'console'): readonly string[] {
  try {
    readConfig(env, command);
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigProblems);
    return error.problems.map((problem) => problem.replace(/:.*/s, ''));
  }
}

const OIDC = {
  CONSOLE_AUTH: 'oidc',
  CONSOLE_OIDC_ISSUER: 'https://login.example.com',
  CONSOLE_OIDC_CLIENT_ID: 'console',
  CONSOLE_OIDC_CLIENT_SECRET: 'canary-oidc-secret',
  CONSOLE_ROLES: 'listen=@example.com',
};

test('each way of signing in asks for exactly what it needs', () => {
  assert.deepEqual(problemsOf({}), ['API_KEYS']);
  assert.deepEqual(problemsOf(KEYS), []);
  assert.deepEqual(problemsOf({ CONSOLE_AUTH: 'iap' }), ['CONSOLE_IAP_AUDIENCE', 'CONSOLE_ROLES']);
  assert.deepEqual(problemsOf({ CONSOLE_AUTH: 'oidc' }), [
    'CONSOLE_OIDC_ISSUER',
    'CONSOLE_OIDC_CLIENT_ID',
    'CONSOLE_OIDC_CLIENT_SECRET',
    'CONSOLE_ROLES',
  ]);
  assert.deepEqual(problemsOf(OIDC), []);
  assert.deepEqual(problemsOf({ CONSOLE_AUTH: 'none' }), []);
  assert.deepEqual(problemsOf({ CONSOLE_AUTH: 'none', HOST: '0.0.0.0' }), ['CONSOLE_AUTH']);
  assert.deepEqual(problemsOf({ CONSOLE_AUTH: 'password', ...KEYS }), ['CONSOLE_AUTH']);
});

test('behind IAP stands the console alone, and no group', () => {
  const iap = { CONSOLE_AUTH: 'iap', CONSOLE_IAP_AUDIENCE: '/projects/1/x', CONSOLE_ROLES: 'listen=@example.com' };
  assert.deepEqual(problemsOf(iap), []);
  assert.deepEqual(problemsOf({ ...SERVE, ...KEYS, ...iap }, 'serve'), ['CONSOLE_AUTH']);
  assert.deepEqual(problemsOf({ ...iap, CONSOLE_ROLES: 'listen=group:everybody' }), ['CONSOLE_ROLES']);
});

test('without a word about it serve signs in with keys, and on loopback without keys nobody is asked', () => {
  assert.equal(readConfig({ ...SERVE, ...KEYS }, 'serve').access.auth, 'key');
  assert.equal(readConfig({ ...SERVE, API_AUTH: 'none' }, 'serve').access.auth, 'none');
  assert.equal(readConfig({ ...SERVE, API_AUTH: 'none', ...KEYS, CONSOLE_AUTH: 'key' }, 'serve').access.auth, 'key');
  assert.deepEqual(problemsOf({ ...SERVE, API_AUTH: 'none', CONSOLE_AUTH: 'key' }, 'serve'), ['API_KEYS']);
  assert.deepEqual(problemsOf(SERVE, 'serve'), ['API_KEYS']);
  const { grants } = readConfig({ ...SERVE, ...KEYS }, 'serve').access;
  assert.deepEqual(
    grants.map(({ role, to }) => `${role} ${to.kind}`),
    ['listen all', 'numbers all', 'operate all', 'audit all'],
  );
  assert.deepEqual(readConfig({ ...KEYS, CONSOLE_ROLES: 'erase=dpo' }, 'console').access.grants.length, 1);
});

const MAYA: Person = { id: 'maya@example.com', way: 'oidc', isAddress: true, groups: ['platform'] };

const may = (text: string, person: Person): readonly string[] => {
  const { roles, divisions } = identityOf(person, parseGrants(text, assert.fail));
  return [...roles, ...(divisions === 'all' ? [] : [...divisions].map((name) => `of ${name}`))];
};

test('roles are given by domain, group, address and to all; none is part of another', () => {
  const text =
    'listen=@example.com; operate=group:platform, erin ;erase=dpo@example.com\n numbers = * ; hold=Maya@Example.com';
  assert.deepEqual(may(text, MAYA), ['listen', 'operate', 'numbers', 'hold']);
  assert.deepEqual(may(text, { ...MAYA, id: 'dpo@example.com', groups: [] }), ['listen', 'erase', 'numbers']);
  assert.deepEqual(may(text, { id: 'erin', way: 'key', isAddress: false, groups: [] }), ['operate', 'numbers']);
});

test('a domain is the whole part behind the last @ of a verified address', () => {
  for (const id of [
    'x@example.com.evil.org',
    'x@evilexample.com',
    'x@sub.example.com',
    'example.com',
    '@example.com@evil.org',
  ])
    assert.deepEqual(may('listen=@example.com', { ...MAYA, id, groups: [] }), [], id);
  assert.deepEqual(may('listen=@example.com', { ...MAYA, id: 'sub:x@example.com', isAddress: false }), []);
  assert.deepEqual(may('listen=@example.com', { ...MAYA, id: 'X@EXAMPLE.COM' }), ['listen']);
});

test('a group is its whole name, with case, and no id is a group', () => {
  for (const groups of [['Platform'], ['platform2'], ['group:platform'], []])
    assert.deepEqual(may('operate=group:platform', { ...MAYA, groups }), []);
  assert.deepEqual(may('operate=platform', MAYA), []);
});

test('listen can be limited to divisions; whoever has it without a limit hears all', () => {
  assert.deepEqual(may('listen:Claims=group:platform; listen:Home Loans=maya@example.com', MAYA), [
    'listen',
    'of Claims',
    'of Home Loans',
  ]);
  assert.deepEqual(may('listen:Claims=group:platform; listen=@example.com', MAYA), ['listen']);
  assert.deepEqual(may('listen:Claims=group:others; operate=*', MAYA), ['operate']);
});

test('what is wrong in CONSOLE_ROLES is named by its place, and nothing of it is shown', () => {
  for (const [text, problem] of [
    ['listen', /^entry 1 names no role/],
    ['listen=*; canary=*', /^entry 2 names no role/],
    ['listen=', /^entry 1 names nobody/],
    ['listen=,', /^entry 1 names nobody/],
    ['listen=@canary', /^entry 1 names nobody/],
    ['listen=@canary.*', /^entry 1 names nobody/],
    ['listen=group:', /^entry 1 names nobody/],
    ['listen=*@canary.com', /^entry 1 names nobody/],
    ['operate:canary=*', /^entry 1 limits operate/],
    ['listen: =*', /^entry 1 names no division/],
    ['=*', /^entry 1 names no role/],
  ] as const) {
    const problems: string[] = [];
    const grants = parseGrants(text, (what) => problems.push(what));
    assert.equal(problems.length, 1, text);
    assert.match(problems[0] ?? '', problem, text);
    assert.doesNotMatch(problems[0] ?? '', /canary/);
    assert.ok(grants.length <= 1, text);
  }
});
