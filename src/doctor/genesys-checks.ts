/** Genesys Cloud → what of tokens, rights, divisions, limits, analytics and triggers is not as the archive needs it. */
import { Failure } from '../failure.ts';
import { type DivisionGrant, divisionsWith } from '../genesys/grants.ts';
import type { GenesysInspection, TriggerState } from '../genesys/inspection.ts';
import { broken, type Opinion, type Probe, well, worthALook } from './check.ts';
import { judgeClock } from './clock-check.ts';

/** One for each client. */
export type Inspections = readonly GenesysInspection[];

const REGION = 'GENESYS_REGION, GENESYS_CLIENT_ID and GENESYS_CLIENT_SECRET';

export function genesysProbes(inspections: Inspections): readonly Probe[] {
  const grants = new Map<string, readonly DivisionGrant[]>();
  const [first] = inspections;
  return [
    ...inspections.flatMap((inspection) => clientProbes(inspection, grants)),
    ...(inspections.length > 1 ? [severalProbe(inspections, grants)] : []),
    ...(first === undefined ? [] : organizationProbes(first)),
  ];
}

const genesys = { area: 'genesys' } as const;

function clientProbes(inspection: GenesysInspection, grants: Map<string, readonly DivisionGrant[]>): readonly Probe[] {
  const about = inspection.clientId;
  return [
    {
      ...genesys,
      name: 'genesys-token',
      about,
      look: async (signal) => {
        await inspection.requireToken(signal);
        return well('a token was given');
      },
    },
    {
      ...genesys,
      name: 'genesys-organization',
      about,
      after: ['genesys-token'],
      look: async (signal) => well(`organization ${await inspection.organization(signal)}`),
    },
    {
      ...genesys,
      name: 'genesys-permissions',
      about,
      after: ['genesys-token'],
      unconfirmed: true,
      look: async (signal) => {
        const known = await grantsOrNothing(inspection, signal);
        if (known !== undefined) grants.set(about, known);
        return known === undefined ? tryRights(inspection, signal) : judgeRights(known);
      },
    },
    {
      ...genesys,
      name: 'genesys-divisions',
      about,
      after: ['genesys-permissions'],
      look: async () => judgeDivisions(grants.get(about)),
    },
  ];
}

/** undefined where this client may not be told. */
async function grantsOrNothing(
  inspection: GenesysInspection,
  signal: AbortSignal,
): Promise<readonly DivisionGrant[] | undefined> {
  try {
    return await inspection.grants(signal);
  } catch (thrown) {
    const isRefused = thrown instanceof Failure && ['bad-request', 'forbidden', 'not-found'].includes(thrown.code);
    if (isRefused) return undefined;
    throw thrown;
  }
}

interface Right {
  readonly permission: string;
  readonly state: 'warn' | 'fail';
  readonly without: string;
}

export const RIGHTS: readonly Right[] = [
  { permission: 'recording:recording:view', state: 'fail', without: 'no call can be archived' },
  { permission: 'analytics:conversationDetail:view', state: 'fail', without: 'nobody can tell what is missing' },
  { permission: 'recording:screenRecording:view', state: 'warn', without: 'no screen can be archived' },
  { permission: 'conversation:communication:view', state: 'warn', without: 'no voicemail can be found' },
  { permission: 'voicemail:acdVoicemail:view', state: 'warn', without: 'no voicemail can be archived' },
];

function judgeRights(grants: readonly DivisionGrant[]): readonly Opinion[] {
  const missing = RIGHTS.filter(({ permission }) => divisionsWith(permission, grants).length === 0);
  if (missing.length === 0) return [well(`the role has all ${String(RIGHTS.length)} rights`)];
  return missing.map(({ permission, state, without }) => ({
    state,
    found: `the role lacks ${permission}: ${without}`,
    next: `Give the role of this client ${permission}, for the divisions that are recorded.`,
  }));
}

async function tryRights(inspection: GenesysInspection, signal: AbortSignal): Promise<Opinion> {
  if (await inspection.mayReadRecordings(signal))
    return well('recordings may be read; Genesys does not list the grants');
  return broken(
    'Genesys refuses to list recordings',
    'Give the role of this client recording:recording:view (and recording:screenRecording:view), for the divisions that are recorded.',
  );
}

function judgeDivisions(grants: readonly DivisionGrant[] | undefined): Opinion {
  if (grants === undefined) return { state: 'skipped', found: 'Genesys does not tell the grants of this client' };
  const [calls, screens] = ['recording', 'screenRecording'].map((entity) =>
    divisionsWith(`recording:${entity}:view`, grants),
  );
  if (calls?.join() === '*' && (screens?.join() === '*' || screens?.length === 0)) return well('all divisions');
  const list = (divisions: readonly string[] | undefined): string => divisions?.join(', ') ?? '';
  const also = screens === undefined || screens.join() === calls?.join() ? '' : `; screens of ${list(screens)}`;
  return worthALook(
    `only calls of ${list(calls)}${also}`,
    'Grant the role for all divisions, if those are not all that are recorded: of the others nothing is archived, and no day is called complete for them.',
  );
}

function severalProbe(inspections: Inspections, grants: ReadonlyMap<string, readonly DivisionGrant[]>): Probe {
  return {
    ...genesys,
    name: 'genesys-clients',
    look: async () => {
      const views = inspections.flatMap(({ clientId }) => {
        const known = grants.get(clientId);
        return known === undefined ? [] : [divisionsWith('recording:recording:view', known).join()];
      });
      if (views.length < inspections.length) return { state: 'skipped', found: 'not all clients could be looked at' };
      if (new Set(views).size === 1) return well('all clients see the same divisions');
      return broken(
        'the clients see different divisions',
        'Give all of GENESYS_CLIENT_ID the same role in the same divisions: what one of them brings, another calls missing.',
      );
    },
  };
}

const SHORTEST_URL_MIN = 5;
const USUAL_CALLS = 300;
const LATE_HOURS = 48;
/** As terraform/genesys calls it. */
export const OUR_TRIGGER = 'archive-recording';
const CALLS_LIMIT = 'client.credentials.token.rate.per.minute';

function organizationProbes(inspection: GenesysInspection): readonly Probe[] {
  const about = inspection.clientId;
  const after = ['genesys-token'];
  return [
    {
      ...genesys,
      name: 'genesys-urls',
      about,
      after,
      look: async (signal) => judgeUrls(await inspection.playbackUrlMinutes(signal)),
    },
    {
      ...genesys,
      name: 'genesys-limits',
      about,
      after,
      unconfirmed: true,
      look: async (signal) => judgeLimits(await inspection.limits('platform.api', signal)),
    },
    {
      ...genesys,
      name: 'genesys-analytics',
      about,
      after: ['genesys-permissions'],
      look: async (signal) => judgeLag(await inspection.dataUntil(signal)),
    },
    {
      ...genesys,
      name: 'genesys-trigger',
      about,
      after,
      unconfirmed: true,
      look: (signal) => lookAtTriggers(inspection, signal),
    },
    {
      ...genesys,
      name: 'genesys-clock',
      about,
      after: ['genesys-organization'],
      look: async () => judgeClock('Genesys', inspection.skewMs),
    },
  ];
}

function judgeUrls(minutes: number | undefined): Opinion {
  if (minutes === undefined) return { state: 'skipped', found: 'Genesys does not tell how long URLs of media live' };
  if (minutes >= SHORTEST_URL_MIN) return well(`URLs of media live ${String(minutes)} min`);
  return worthALook(
    `URLs of media live ${String(minutes)} min`,
    'Raise the life of playback URLs in the recording settings to 5 min or more: long recordings need several.',
  );
}

function judgeLimits(limits: ReadonlyMap<string, number>): Opinion {
  const calls = limits.get(CALLS_LIMIT);
  if (calls === undefined) return { state: 'skipped', found: `Genesys does not tell ${CALLS_LIMIT}` };
  if (calls >= USUAL_CALLS) return well(`${String(calls)} calls a minute for each client`);
  return worthALook(
    `only ${String(calls)} calls a minute for each client`,
    'Ask Genesys for the usual 300, or name several clients in GENESYS_CLIENT_ID.',
  );
}

function judgeLag(dataUntil: Date): Opinion {
  const hours = Math.max(0, Math.round((Date.now() - dataUntil.getTime()) / 3_600_000));
  const found = `analytics reach to ${dataUntil.toISOString().slice(0, 16)}Z, ${String(hours)} h ago`;
  if (hours < LATE_HOURS) return well(found);
  return worthALook(found, 'Look at status.mypurecloud.com: until they catch up, no newer day can be proven.');
}

async function lookAtTriggers(
  inspection: GenesysInspection,
  signal: AbortSignal,
): Promise<Opinion | readonly Opinion[]> {
  try {
    const triggers = await inspection.triggers(signal);
    return judgeTriggers(triggers, await inspection.topics(signal));
  } catch (thrown) {
    if (!(thrown instanceof Failure) || thrown.code !== 'forbidden') throw thrown;
    return {
      state: 'skipped',
      found:
        'triggers cannot be seen without processautomation:trigger:view; none is needed where EventBridge sends events',
    };
  }
}

function judgeTriggers(triggers: readonly TriggerState[], topics: readonly string[]): Opinion | readonly Opinion[] {
  const ours = triggers.filter(({ name }) => name.startsWith(OUR_TRIGGER));
  if (ours.length === 0)
    return worthALook(
      `no trigger is called ${OUR_TRIGGER}`,
      'Nothing, where EventBridge or another sender brings events; else apply terraform/genesys.',
    );
  const opinions = ours.flatMap(({ name, topicName, enabled }): Opinion[] => {
    if (!enabled) return [broken(`the trigger ${name} is switched off`, 'Switch it on, or apply terraform/genesys.')];
    if (topics.includes(topicName)) return [];
    return [
      broken(
        `the trigger ${name} listens to ${topicName}, which is not offered any more`,
        'Let it listen to v2.detail.events.conversation.{id}.customer.end, or apply terraform/genesys.',
      ),
    ];
  });
  return opinions.length > 0 ? opinions : well(`${ours.map(({ name }) => name).join(', ')} sends events`);
}

/** Where the configuration is not whole. */
export function noGenesys(): Probe {
  return {
    ...genesys,
    name: 'genesys-token',
    look: async () => ({ state: 'skipped', found: `not asked: ${REGION} are not all there` }),
  };
}
