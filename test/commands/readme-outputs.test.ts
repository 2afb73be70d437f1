/** What src/commands/README.md shows of each command is what it prints: the same lines are typed here, in the same order, in one small organization. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { markErased } from '../../src/archive/erased.ts';
import { writeProof } from '../../src/archive/proofs.ts';
import { openAudit } from '../../src/audit/open-audit.ts';
import type { FailureCode } from '../../src/failure.ts';
import type { Recording } from '../../src/recording.ts';
import { failureOf } from '../support/archive/content.ts';
import { type ArchiveScene, openFolderScene, runInProcess } from '../support/commands/archive-scene.ts';
import { type GenesysServer, startGenesysServer } from '../support/genesys/server.ts';
import { pathOfFixture } from '../support/media/fixtures.ts';

const [FIRST, SECOND, LONG_AGO] = ['2026-11-26', '2026-11-27', '2026-09-10'] as const;
const signal = (): AbortSignal => AbortSignal.timeout(300_000);
/** Shown by tests of their own, since what they print is the machine's. */
const ELSEWHERE = new Set(['status', 'doctor']);

interface Shown {
  readonly line: string;
  readonly output: string;
}

/** Each `$ archiver …` of the README with what stands below it. */
async function shownInReadme(): Promise<readonly Shown[]> {
  const readme = await readFile(join(import.meta.dirname, '../../src/commands/README.md'), 'utf8');
  const blocks = [...readme.matchAll(/```console\n([^]*?)```/g)].map(([, block = '']) => block);
  const shown = blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((text) => ({
        line: text.slice(0, text.indexOf('\n')),
        output: text.slice(text.indexOf('\n') + 1).trimEnd(),
      })),
  );
  return shown.filter(({ line }) => line.startsWith('archiver ') && !ELSEWHERE.has(line.split(' ')[1] ?? ''));
}

/** What is another one each time: moments, days, hashes, sizes. */
function masked(text: string): string {
  return text
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:[\d.]+Z/g, '<moment>')
    .replaceAll(/\d{4}-\d\d-\d\d/g, '<day>')
    .replaceAll(/\b[0-9a-f]{64}\b/g, '<hash>')
    .replaceAll(/(bytes +)\d+$/gm, '$1<count>')
    .replaceAll(/\b[\d.]+ [kMG]B\b/g, '<size>');
}

class Organization {
  readonly genesys: GenesysServer;
  readonly scene: ArchiveScene;
  readonly folder: string;
  readonly #key = generateKeyPairSync('ed25519');

  constructor(genesys: GenesysServer, scene: ArchiveScene, folder: string) {
    this.genesys = genesys;
    this.scene = scene;
    this.folder = folder;
  }

  /** Genesys has it; with real sound. */
  has(recording: Recording, day: string, more: { readonly fileState?: string } = {}): void {
    const { conversationId = '' } = recording;
    const start = `${day}T10:00:00.000Z`;
    this.genesys.analyze({ conversationId, start, end: `${day}T10:05:00.000Z` });
    const files = [{ channel: '0', contentType: 'audio/ogg', path: pathOfFixture('stereo.opus') }];
    this.genesys.addRecording({ ...recording, conversationId, startTime: start, files, ...more });
  }

  keeps(recording: Recording, day: string): Promise<void> {
    return this.scene.store(recording, { recordedAt: `${day}T10:00:00.000Z` });
  }

  fails(recording: Recording, code: FailureCode): Promise<void> {
    return this.scene.archive.recordFailure(recording, { ...failureOf(recording), code }, signal());
  }

  async proves(day: string): Promise<void> {
    const proof = { day, verdict: 'complete' };
    await writeProof('complete', proof, { notes: this.scene.archive.notes, at: new Date() }, signal());
  }

  path(name: string): string {
    return join(this.scene.path ?? '', name);
  }

  async publicKey(): Promise<void> {
    await writeFile(join(this.folder, 'public.pem'), this.#key.publicKey.export({ type: 'spki', format: 'pem' }));
  }

  /** As it is typed in a folder of one's own; what it prints names no other. */
  async type(line: string): Promise<string> {
    const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? '');
    const args = words.slice(1).map((word) => (/^(case-|public)/.test(word) ? join(this.folder, word) : word));
    const CERTIFICATE_KEY = this.#key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const env = { ...this.genesys.environment(), ...this.scene.env, CERTIFICATE_KEY };
    const { stdout } = await runInProcess([...args, '--quiet'], env);
    return stdout.replaceAll(`${this.folder}/`, '').replaceAll(this.path(''), 'var/archive').trimEnd();
  }
}

async function openOrganization(t: TestContext): Promise<Organization> {
  const [genesys, scene] = [
    await startGenesysServer({ rateLimit: { allowed: 100_000, windowS: 60 } }),
    await openFolderScene(),
  ];
  const folder = await mkdtemp(join(tmpdir(), 'readme-'));
  t.after(async () => {
    await genesys.close();
    await scene.close();
    await rm(folder, { recursive: true, force: true });
  });
  const organization = new Organization(genesys, scene, folder);
  await organization.publicKey();
  Object.assign(genesys.analytics, { pendingPolls: 0, dataUntil: '2026-11-28T09:00:00.000Z' });
  Object.assign(genesys.inquiries, { pendingPolls: 0 });
  const [r1, r2, r3] = ['r1', 'r2', 'r3'].map((recordingId) => ({ recordingId, conversationId: 'c1' }));
  const [r9, r4, r5] = [
    { recordingId: 'r9', conversationId: 'c2' },
    { recordingId: 'r4', conversationId: 'c3' },
    { recordingId: 'r5', conversationId: 'c4' },
  ];
  assert.ok(r1 && r2 && r3);
  for (const recording of [r1, r2, r3, r9]) organization.has(recording, FIRST);
  organization.has(r4, FIRST, { fileState: 'DELETED' });
  organization.has(r5, SECOND);
  await organization.keeps(r1, FIRST);
  await organization.keeps(r5, SECOND);
  await organization.fails(r9, 'unreadable-media');
  genesys.inquiries.deletions = [{ ...r4, eventDate: '2026-11-27T08:00:00.000Z', user: '7c1e' }];
  return organization;
}

const CASE = '2f7bf00a';

/** What comes to pass before a command is shown, where anything does. */
const BEFORE: Readonly<Record<string, (organization: Organization) => Promise<unknown>>> = {
  async audit({ scene }) {
    const audit = await openAudit({ folder: scene.path, notes: scene.archive.notes });
    for (const action of ['listened', 'linked'] as const)
      await audit.record(
        { action, who: 'qa', way: 'key', from: '10.1.4.7', conversationId: CASE, recordingId: 'r1' },
        signal(),
      );
    await audit.close();
  },
  async hold(organization) {
    for (const recordingId of ['r1', 'r2'])
      await organization.keeps({ recordingId, conversationId: CASE }, '2026-03-01');
    await organization.proves('2026-03-01');
    const { notes } = organization.scene.archive;
    const erased = { version: 1, recordingId: 'r9', conversationId: '91c2aa0e' } as const;
    const how = { reason: 'a request', by: 'command:root', erasedAt: '2026-11-20T10:00:00.000Z', days: [FIRST] };
    await markErased({ ...erased, ...how }, notes, signal());
  },
  async verify(organization) {
    await truncate(organization.path('recordings/c1/r1/recording.webm'), 20);
    await writeFile(organization.path(`days/${FIRST}/c.r7`), '');
  },
  async restore(organization) {
    for (const conversationId of ['c7', 'c8']) {
      const recording = { recordingId: 'r1', conversationId };
      organization.has(recording, '2026-05-01', { fileState: 'ARCHIVED' });
      await organization.fails(recording, 'needs-restore');
    }
  },
  async retire(organization) {
    const recordings = ['r7', 'r8'].map((recordingId) => ({ recordingId, conversationId: 'c6' }));
    for (const recording of recordings) {
      organization.has(recording, LONG_AGO);
      await organization.keeps(recording, LONG_AGO);
    }
    await organization.proves(LONG_AGO);
    await organization.type(`archiver verify --from ${LONG_AGO} --to ${LONG_AGO} --read`);
    await organization.type(`archiver hold K-2026-18 --recording c6/r7 --reason "a test"`);
  },
};

test('what the README shows of each command is what it prints', { timeout: 400_000 }, async (t) => {
  const [organization, shown] = [await openOrganization(t), await shownInReadme()];
  const begun = new Set<string>();
  const wrong: string[] = [];
  for (const { line, output } of shown) {
    const [, name = ''] = line.split(' ');
    if (!begun.has(name)) await BEFORE[name]?.(organization);
    begun.add(name);
    const printed = await organization.type(line);
    if (masked(printed) !== masked(output)) wrong.push(`$ ${line}\n${printed}\n`);
  }
  assert.ok(begun.size >= 10, [...begun].join());
  assert.equal(wrong.join('\n'), '', 'put these into src/commands/README.md');
});
