/** One OAuth client → what Genesys Cloud says of it and of its organization: for whoever checks a set-up before it is needed. */
import type { Dispatcher } from 'undici';
import type { GenesysClient, GenesysConfig } from '../config/genesys.ts';
import type { Proxies } from '../config/proxies.ts';
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import { dataAvailableUntil } from './analytics.ts';
import { Api } from './api.ts';
import { createAgent, type JsonAnswer } from './exchange.ts';
import { type DivisionGrant, GRANTS_PATH, grantsIn } from './grants.ts';
import { NOBODY, pathOfList } from './recording-api.ts';

export interface TriggerState {
  readonly name: string;
  readonly topicName: string;
  readonly enabled: boolean;
}

/** A person sits there and waits. */
const PATIENCE = { patienceMs: 10_000, tries: 2, waitMs: () => 500 };
/** Pages of triggers and topics. */
const MOST_PAGES = 20;

/** Every method: @throws Failure saying what to mend. */
export class GenesysInspection {
  readonly clientId: string;
  readonly #agent: Dispatcher;
  readonly #api: Api;

  constructor(client: GenesysClient, config: GenesysConfig, proxies?: Proxies) {
    this.clientId = client.id;
    this.#agent = createAgent(proxies);
    this.#api = new Api({ ...config, clients: [client] }, { agent: this.#agent, patience: PATIENCE });
  }

  /** Milliseconds that Genesys' clock goes before ours; undefined before the first answer. */
  get skewMs(): number | undefined {
    return this.#api.clock.skewMs;
  }

  requireToken(signal: AbortSignal): Promise<void> {
    return this.#api.check(signal);
  }

  /** Its id. https://developer.genesys.cloud/platform/api (GET /api/v2/tokens/me) */
  async organization(signal: AbortSignal): Promise<string> {
    const id = Fields.in((await this.#get('/api/v2/tokens/me', signal)).body)
      ?.fields('organization')
      ?.text('id');
    if (id === undefined) throw unexpected('no organization');
    return id;
  }

  async grants(signal: AbortSignal): Promise<readonly DivisionGrant[]> {
    const grants = grantsIn((await this.#get(GRANTS_PATH, signal)).body);
    if (grants === undefined) throw unexpected('no grants');
    return grants;
  }

  /** Whether it may read recordings at all, found out by asking for none. */
  async mayReadRecordings(signal: AbortSignal): Promise<boolean> {
    return this.#may(pathOfList(NOBODY), signal);
  }

  /** Minutes that a URL of media lives. */
  async playbackUrlMinutes(signal: AbortSignal): Promise<number | undefined> {
    return Fields.in((await this.#get('/api/v2/recording/settings', signal)).body)?.number('recordingPlaybackUrlTtl');
  }

  /** By key. https://developer.genesys.cloud/organization/organization/limits */
  async limits(namespace: string, signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
    const path = `/api/v2/organizations/limits/namespaces/${encodeURIComponent(namespace)}`;
    const list = Fields.in((await this.#get(path, signal)).body)?.array('entities') ?? [];
    const pairs = list.flatMap((entry): [string, number][] => {
      const [key, value] = [Fields.in(entry)?.text('key'), Fields.in(entry)?.number('value')];
      return key === undefined || value === undefined ? [] : [[key, value]];
    });
    return new Map(pairs);
  }

  dataUntil(signal: AbortSignal): Promise<Date> {
    const ask = (asked: { readonly path: string }, stop: AbortSignal): Promise<JsonAnswer> =>
      this.#get(asked.path, stop);
    return dataAvailableUntil({ ask, onPoll: () => undefined }, signal);
  }

  async triggers(signal: AbortSignal): Promise<readonly TriggerState[]> {
    const found: TriggerState[] = [];
    for await (const entry of this.#entities('/api/v2/processautomation/triggers', signal)) {
      const fields = Fields.in(entry);
      const [name = '', topicName = ''] = [fields?.text('name'), fields?.text('topicName')];
      found.push({ name, topicName, enabled: fields?.boolean('enabled') ?? false });
    }
    return found;
  }

  /** Names of what triggers may listen to. */
  async topics(signal: AbortSignal): Promise<readonly string[]> {
    const found: string[] = [];
    for await (const entry of this.#entities('/api/v2/processautomation/triggers/topics', signal)) {
      const name = typeof entry === 'string' ? entry : (Fields.in(entry)?.text('id') ?? Fields.in(entry)?.text('name'));
      if (name !== undefined) found.push(name);
    }
    return found;
  }

  async close(): Promise<void> {
    this.#api.close();
    await this.#agent.destroy();
  }

  /** 404 is a yes: whoever may not read is not told so much. */
  async #may(path: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#get(path, signal);
      return true;
    } catch (thrown) {
      if (!(thrown instanceof Failure)) throw thrown;
      if (thrown.code === 'not-found' || thrown.code === 'bad-request') return true;
      if (thrown.code === 'forbidden') return false;
      throw thrown;
    }
  }

  async *#entities(path: string, signal: AbortSignal): AsyncGenerator {
    let next: string | undefined = path;
    for (let page = 0; next !== undefined && page < MOST_PAGES; page += 1) {
      const fields = Fields.in((await this.#get(next, signal)).body);
      yield* fields?.array('entities') ?? [];
      next = localPath(fields?.text('nextUri'), path);
    }
  }

  async #get(path: string, signal: AbortSignal): Promise<JsonAnswer> {
    return this.#api.ask({ path, caller: 'worker' }, signal);
  }
}

/** Only further pages of the same list are followed, whatever host they name. */
function localPath(uri: string | undefined, path: string): string | undefined {
  const url = uri === undefined ? null : URL.parse(uri, 'https://api.invalid');
  return url !== null && url.pathname === path ? `${url.pathname}${url.search}` : undefined;
}

function unexpected(what: string): Failure {
  return new Failure('upstream-error', `Genesys answered with ${what}: check GENESYS_API_URL and any proxy.`);
}
