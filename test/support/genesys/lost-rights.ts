/** An organization of two divisions, and a client whose role loses a right or a division at a step of somebody's look at it. */
import assert from 'node:assert/strict';
import { pathOfFixture } from '../media/fixtures.ts';
import type { OrganizationScript, SimulatedGrant } from './organization.ts';
import type { GenesysServer } from './server.ts';

const CALLS = 'recording:recording:view';
const SCREENS = 'recording:screenRecording:view';
const ANALYTICS = 'analytics:conversationDetail:view';
const ALL = [CALLS, SCREENS, ANALYTICS];

/** What is true, whoever sees it. */
export const TRUTH = [
  { conversationId: 'c1', division: 'home', recordings: ['r1'] },
  { conversationId: 'c2', division: 'home', recordings: ['r2'] },
  { conversationId: 'c3', division: 'sales', recordings: ['r3'] },
  { conversationId: 'c4', division: 'sales', recordings: ['r4', 's4'] },
] as const;

const everywhere = (permissions: readonly string[]): readonly SimulatedGrant[] => [{ division: '*', permissions }];
export const WHOLE = everywhere(ALL);

/** What is left of the grants. */
export const LOSSES: Readonly<Record<string, readonly SimulatedGrant[]>> = {
  'recordings of calls': everywhere([SCREENS, ANALYTICS]),
  'recordings of screens': everywhere([CALLS, ANALYTICS]),
  'all recordings': everywhere([ANALYTICS]),
  analytics: everywhere([CALLS, SCREENS]),
  'a division': [{ division: 'home', permissions: ALL }],
  'recordings of a division': [
    { division: '*', permissions: [ANALYTICS] },
    { division: 'home', permissions: [CALLS, SCREENS] },
  ],
  'analytics of a division': [
    { division: '*', permissions: [CALLS, SCREENS] },
    { division: 'home', permissions: [ANALYTICS] },
  ],
  everything: [],
};

export type Hides = NonNullable<OrganizationScript['hides']>;
export const HIDES: readonly Hides[] = ['forbidden', 'not-found', 'empty'];

/** All of it happened on the day, or nothing yet, and the client sees all of it. */
export function scriptTruth(server: GenesysServer, day: string, happened: 'all' | 'nothing yet' = 'all'): void {
  server.analytics.pendingPolls = 0;
  Object.assign(server.organization, { grants: { default: WHOLE } });
  for (const { conversationId, division, recordings } of happened === 'all' ? TRUTH : []) {
    const [start, end] = [`${day}T10:00:00.000Z`, `${day}T10:05:00.000Z`];
    const recorded = recordings.length > 1 ? 'both' : 'voice';
    server.analyze({ conversationId, start, end, divisionIds: [division], recorded });
    for (const recordingId of recordings) {
      const files = [{ channel: '0', contentType: 'audio/ogg', path: pathOfFixture('dual-0.opus') }];
      const media = recordingId.startsWith('s') ? { media: 'screen' as const } : {};
      server.addRecording({ recordingId, conversationId, startTime: start, files, ...media });
    }
  }
}

/** From the n-th request to the route on, that one included. */
export function loseAt(
  { organization }: GenesysServer,
  route: string,
  nth: number,
  loss: string,
  hides: Hides,
): () => boolean {
  let count = 0;
  Object.assign(organization, { hides, grants: { default: WHOLE } });
  organization.onRequest = (asked) => {
    if (asked.startsWith(route) && (count += 1) === nth) organization.grants = { default: LOSSES[loss] ?? [] };
  };
  return () => count >= nth;
}

/** Of the divisions that the proof claims, it counts all that is true of them. */
export function assertTrue(proof: Readonly<Record<string, unknown>>, where: string): void {
  const claimed = TRUTH.filter(({ division }) => (proof['divisions'] as readonly string[]).includes(division));
  assert.deepEqual(
    [proof['conversations'], proof['recordings'], proof['archived']],
    [claimed.length, ...Array.from({ length: 2 }, () => claimed.flatMap(({ recordings }) => recordings).length)],
    where,
  );
}
