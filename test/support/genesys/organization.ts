/** An organization as its settings describe it: who the client is, what its role may, limits, the life of media URLs, triggers. */
import { jsonReply, type Reply } from './reply.ts';

export interface SimulatedGrant {
  /** `*` is every division. */
  readonly division: string;
  /** `domain:entity:action`; each part may be `*`. */
  readonly permissions: readonly string[];
}

export interface SimulatedTrigger {
  readonly name: string;
  readonly topicName: string;
  readonly enabled: boolean;
}

export interface OrganizationScript {
  organization: string;
  /** Of each client; `default` of those that are not named. */
  grants: Readonly<Record<string, readonly SimulatedGrant[]>>;
  /**
   * Where set, grants are not only told of but hold: without a permission its routes answer 403; what lies in divisions without it
   * is left out by analytics, and as a conversation of its own answered so.
   */
  hides: 'forbidden' | 'not-found' | 'empty' | undefined;
  /** Told of each request before it is answered, by its route: rights may change just then. */
  onRequest: ((route: string) => void) | undefined;
  /** Minutes. */
  playbackUrlTtl: number;
  limits: Readonly<Record<string, number>>;
  triggers: readonly SimulatedTrigger[];
  topics: readonly string[];
  /** How far the clock of Genesys goes before ours, ms. */
  clockOffsetMs: number;
}

const TOPICS = ['customer.end', 'user.end', 'acw', 'voicemail.end'].map(
  (name) => `v2.detail.events.conversation.{id}.${name}`,
);

export class SimulatedOrganization {
  readonly script: OrganizationScript = {
    organization: 'f0e1d2c3-0000-4000-8000-000000000001',
    grants: {
      default: [
        {
          division: '*',
          permissions: [
            'recording:recording:view',
            'recording:screenRecording:view',
            'analytics:conversationDetail:view',
            'conversation:communication:view',
            'voicemail:acdVoicemail:view',
            'processautomation:trigger:view',
          ],
        },
      ],
    },
    hides: undefined,
    onRequest: undefined,
    playbackUrlTtl: 60,
    limits: { 'client.credentials.token.rate.per.minute': 300, 'token.rate.per.minute': 300 },
    triggers: [{ name: 'archive-recording', topicName: TOPICS[0] ?? '', enabled: true }],
    topics: TOPICS,
    clockOffsetMs: 0,
  };

  get dateHeader(): Record<string, string> {
    const { clockOffsetMs } = this.script;
    return clockOffsetMs === 0 ? {} : { date: new Date(Date.now() + clockOffsetMs).toUTCString() };
  }

  /** Whether the client has one of the permissions, in one of the divisions where they are given; true where grants do not hold. */
  may(clientId: string, permissions: readonly string[], divisions?: readonly string[]): boolean {
    if (this.script.hides === undefined) return true;
    return this.#grantsOf(clientId).some(
      ({ division, permissions: given }) =>
        permissions.some((one) => given.includes(one)) &&
        (divisions === undefined || division === '*' || divisions.includes(division)),
    );
  }

  #grantsOf(clientId: string): readonly SimulatedGrant[] {
    return this.script.grants[clientId] ?? this.script.grants['default'] ?? [];
  }

  /** A TokenInfo of the SDK. */
  token(clientId: string): Reply {
    const organization = { id: this.script.organization, name: 'Simulated' };
    return jsonReply(200, {
      organization,
      homeOrganization: organization,
      authorizedScope: [],
      OAuthClient: { id: clientId, name: 'archiver', authorizedGrantType: 'CLIENT_CREDENTIALS', organization },
    });
  }

  /** An AuthzSubject of the SDK. */
  subject(clientId: string): Reply {
    const grants = this.#grantsOf(clientId);
    return jsonReply(200, {
      id: clientId,
      grants: grants.map(({ division, permissions }) => ({
        subjectId: clientId,
        division: { id: division, name: division === '*' ? '' : `Division ${division}`, description: '' },
        role: { id: `role-${division}`, name: 'Archiver', policies: permissions.map(policyOf), default: false },
      })),
      version: 1,
    });
  }

  limits(namespace: string): Reply {
    const entities = Object.entries(this.script.limits).map(([key, value]) => ({ key, namespace, value }));
    return jsonReply(200, { entities: namespace === 'platform.api' ? entities : [] });
  }

  settings(): Reply {
    return jsonReply(200, {
      maxSimultaneousStreams: 10,
      maxConfigurableScreenRecordingStreams: 8,
      recordingPlaybackUrlTtl: this.script.playbackUrlTtl,
      recordingBatchDownloadUrlTtl: 60,
    });
  }

  triggers(): Reply {
    const entities = this.script.triggers.map(({ name, topicName, enabled }) => ({
      id: `trigger-${name}`,
      name,
      topicName,
      enabled,
      target: { type: 'Workflow', id: 'workflow' },
      version: 1,
      matchCriteria: [],
    }));
    return jsonReply(200, { entities });
  }

  topics(): Reply {
    return jsonReply(200, { entities: this.script.topics });
  }
}

function policyOf(permission: string): object {
  const [domain = '', entityName = '', action = ''] = permission.split(':');
  return { domain, entityName, actions: [action] };
}
