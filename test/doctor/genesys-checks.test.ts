import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Check } from '../../src/doctor/check.ts';
import { genesysProbes } from '../../src/doctor/genesys-checks.ts';
import { divisionsWith } from '../../src/genesys/grants.ts';
import { GenesysInspection } from '../../src/genesys/inspection.ts';
import { examined, troubles } from '../support/doctor.ts';
import { type GenesysServer, type GenesysServerOptions, startGenesysServer } from '../support/genesys/server.ts';

const ALL = [
  'recording:recording:view',
  'recording:screenRecording:view',
  'analytics:conversationDetail:view',
  'conversation:communication:view',
  'voicemail:acdVoicemail:view',
];
const RECENT = (): string => new Date(Date.now() - 3 * 3_600_000).toISOString();

interface Scene {
  readonly server: GenesysServer;
  readonly examine: (config?: Partial<ReturnType<GenesysServer['config']>>) => Promise<readonly Check[]>;
}

async function setUp(t: TestContext, options: GenesysServerOptions = {}): Promise<Scene> {
  const server = await startGenesysServer(options);
  server.analytics.dataUntil = RECENT();
  t.after(() => server.close());
  return {
    server,
    examine: async (overrides = {}) => {
      const config = server.config(overrides);
      const inspections = config.clients.map((client) => new GenesysInspection(client, config));
      try {
        return await examined(genesysProbes(inspections));
      } finally {
        await Promise.all(inspections.map((inspection) => inspection.close()));
      }
    },
  };
}

test('an organization that is set as it should be is well in every line', async (t) => {
  const { examine } = await setUp(t);
  const checks = await examine();
  assert.deepEqual(troubles(checks), []);
  assert.deepEqual(
    checks.map(({ name }) => name),
    [
      'genesys-token',
      'genesys-organization',
      'genesys-permissions',
      'genesys-divisions',
      'genesys-urls',
      'genesys-limits',
      'genesys-analytics',
      'genesys-trigger',
      'genesys-clock',
    ],
  );
  assert.deepEqual(
    checks.filter(({ unconfirmed }) => unconfirmed).map(({ name }) => name),
    ['genesys-permissions', 'genesys-limits', 'genesys-trigger'],
  );
});

/** Exactly this fault → exactly this line, and every other one as before. */
const FAULTS: readonly {
  readonly what: string;
  readonly arrange: (server: GenesysServer) => void;
  readonly line: RegExp;
}[] = [
  {
    what: 'no right to record calls',
    arrange: ({ organization }) => grant(organization, [ALL.filter((one) => one !== 'recording:recording:view'), '*']),
    line: /^fail genesys-permissions: the role lacks recording:recording:view: no call can be archived → Give the role/,
  },
  {
    what: 'no right to screens',
    arrange: ({ organization }) => grant(organization, [ALL.filter((one) => !/screen/.test(one)), '*']),
    line: /^warn genesys-permissions: the role lacks recording:screenRecording:view/,
  },
  {
    what: 'no right to analytics',
    arrange: ({ organization }) => grant(organization, [ALL.filter((one) => !/analytics/.test(one)), '*']),
    line: /^fail genesys-permissions: the role lacks analytics:conversationDetail:view: nobody can tell/,
  },
  {
    what: 'no right to voicemail',
    arrange: ({ organization }) => grant(organization, [ALL.filter((one) => !/voicemail/.test(one)), '*']),
    line: /^warn genesys-permissions: the role lacks voicemail:acdVoicemail:view/,
  },
  {
    what: 'one division only',
    arrange: ({ organization }) => grant(organization, [ALL, 'sales']),
    line: /^warn genesys-divisions: only calls of sales → Grant the role for all divisions/,
  },
  {
    what: 'screens of other divisions than calls',
    arrange: ({ organization }) =>
      grant(
        organization,
        [ALL.filter((one) => !/screen/.test(one)), '*'],
        [ALL.filter((one) => /screen/.test(one)), 'b'],
      ),
    line: /^warn genesys-divisions: only calls of \*; screens of b/,
  },
  {
    what: 'URLs that live two minutes',
    arrange: ({ organization }) => (organization.playbackUrlTtl = 2),
    line: /^warn genesys-urls: URLs of media live 2 min → Raise/,
  },
  {
    what: 'few calls a minute',
    arrange: ({ organization }) => (organization.limits = { 'client.credentials.token.rate.per.minute': 60 }),
    line: /^warn genesys-limits: only 60 calls a minute/,
  },
  {
    what: 'limits that are not told',
    arrange: ({ organization }) => (organization.limits = {}),
    line: /^skipped genesys-limits: Genesys does not tell/,
  },
  {
    what: 'analytics days behind',
    arrange: ({ analytics }) => (analytics.dataUntil = new Date(Date.now() - 50 * 3_600_000).toISOString()),
    line: /^warn genesys-analytics: analytics reach to .*Z, 50 h ago/,
  },
  {
    what: 'analytics refused',
    arrange: (server) => server.fault('analytics-availability', 'return-403;code:missing.any.permissions'),
    line: /^fail genesys-analytics: Genesys denied access; give the role of GENESYS_CLIENT_ID analytics:conversationDetail:view/,
  },
  {
    what: 'no trigger',
    arrange: ({ organization }) => (organization.triggers = []),
    line: /^warn genesys-trigger: no trigger is called archive-recording/,
  },
  {
    what: 'a trigger that is switched off',
    arrange: ({ organization }) =>
      (organization.triggers = organization.triggers.map((trigger) => ({ ...trigger, enabled: false }))),
    line: /^fail genesys-trigger: the trigger archive-recording is switched off/,
  },
  {
    what: 'a topic that is gone',
    arrange: ({ organization }) => (organization.topics = organization.topics.slice(1)),
    line: /^fail genesys-trigger: the trigger archive-recording listens to v2\.detail\.events\.conversation\.\{id\}\.customer\.end, which is not offered/,
  },
  {
    what: 'triggers that may not be seen',
    arrange: (server) => server.fault('triggers', 'return-403;code:missing.any.permissions'),
    line: /^skipped genesys-trigger: triggers cannot be seen without processautomation:trigger:view/,
  },
  {
    what: 'a clock that is wrong',
    arrange: ({ organization }) => (organization.clockOffsetMs = 600_000),
    line: /^fail genesys-clock: our clock is [56]\d\d s behind Genesys → Set the clock/,
  },
  {
    what: 'a clock that drifts',
    arrange: ({ organization }) => (organization.clockOffsetMs = -55_000),
    line: /^warn genesys-clock: our clock is [1-5]\d s ahead of Genesys/,
  },
  {
    what: 'a region without the organization’s own page',
    arrange: (server) => server.fault('settings', 'return-500', 9),
    line: /^fail genesys-urls: Genesys has a fault/,
  },
];

function grant(organization: GenesysServer['organization'], ...grants: readonly [readonly string[], string][]): void {
  organization.grants = { default: grants.map(([permissions, division]) => ({ permissions, division })) };
}

for (const { what, arrange, line } of FAULTS)
  test(`${what}: that line, and no other`, async (t) => {
    const { server, examine } = await setUp(t);
    arrange(server);
    const found = troubles(await examine());
    const [own] = found;
    // What rests on a line that failed is not asked.
    const others = found.slice(1).filter((other) => !/^skipped .*not asked: see genesys-permissions/.test(other));
    assert.match(own ?? 'nothing', line);
    assert.deepEqual(others, []);
  });

test('a wrong secret is one line, and nothing else is asked with it', async (t) => {
  const { examine } = await setUp(t);
  const found = troubles(await examine({ clients: [{ id: 'simulated-client', secret: 'wrong' }] }));
  assert.match(
    found[0] ?? '',
    /^fail genesys-token: Genesys gave no token \(invalid_client\): check GENESYS_CLIENT_ID/,
  );
  assert.ok(
    found.slice(1).every((line) => /^skipped \S+: not asked: see genesys-/.test(line)),
    found.join('\n'),
  );
});

test('a Genesys that nobody answers for is one line', async (t) => {
  const { examine } = await setUp(t);
  const found = troubles(await examine({ loginUrl: 'http://127.0.0.1:9', apiUrl: 'http://127.0.0.1:9' }));
  assert.match(found[0] ?? '', /^fail genesys-token: /);
  assert.ok(
    found.slice(1).every((line) => line.startsWith('skipped ')),
    found.join('\n'),
  );
});

test('where Genesys does not list grants, rights are tried', async (t) => {
  const { server, examine } = await setUp(t);
  server.fault('subject', 'return-400', 2);
  const good = await examine();
  assert.match(good.find(({ name }) => name === 'genesys-permissions')?.found ?? '', /recordings may be read/);
  server.fault('list:*', 'return-403;code:missing.any.permissions');
  const refused = troubles(await examine());
  assert.match(refused[0] ?? '', /^fail genesys-permissions: Genesys refuses to list recordings → Give the role/);
});

test('several clients are looked at one by one, and have to see the same divisions', async (t) => {
  const clients = ['a', 'b'].map((id) => ({ id, secret: 'a-secret' }));
  const { server, examine } = await setUp(t, { clients });
  assert.deepEqual(troubles(await examine()), []);
  server.organization.grants = {
    default: [{ division: '*', permissions: ALL }],
    b: [{ division: 'sales', permissions: ALL }],
  };
  const found = troubles(await examine());
  assert.equal(found.length, 2, found.join('\n'));
  assert.match(found[0] ?? '', /^warn genesys-divisions: only calls of sales/);
  assert.match(found[1] ?? '', /^fail genesys-clients: the clients see different divisions/);
  const halves = await examine({
    clients: [
      { id: 'a', secret: 'a-secret' },
      { id: 'b', secret: 'wrong' },
    ],
  });
  const failed = halves.filter(({ state }) => state === 'fail');
  assert.deepEqual(
    failed.map(({ name, about }) => [name, about]),
    [['genesys-token', 'b']],
  );
});

test('a permission is found behind wildcards, in every division that has it', () => {
  const grants = [
    { division: 'a', permissions: ['recording:*:*'] },
    { division: 'b', permissions: ['*:*:view'] },
    { division: 'c', permissions: ['recording:recording:edit', 'recording:screenRecording:view'] },
    { division: 'a', permissions: ['recording:recording:view'] },
  ];
  assert.deepEqual(divisionsWith('recording:recording:view', grants), ['a', 'b']);
  assert.deepEqual(divisionsWith('recording:recording:view', [...grants, { division: '*', permissions: ['*:*:*'] }]), [
    '*',
  ]);
  assert.deepEqual(divisionsWith('analytics:conversationDetail:view', grants), ['b']);
});
