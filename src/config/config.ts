/** Turns an environment into one frozen configuration, or into a list of everything that is wrong with it. */
import { availableParallelism } from 'node:os';

/** One line each: the README's table is compared with this (test/readme.test.ts). */
export const VARIABLES = {
  HOST: { default: '127.0.0.1', meaning: 'address to listen on (the image sets `0.0.0.0`)' },
  PORT: { default: '8080', meaning: 'port to listen on' },
  PUBLIC_URL: { default: 'from HOST and PORT', meaning: 'how callers reach the service; embedded links start with it' },
  GENESYS_REGION: {
    default: '–',
    meaning:
      '`mypurecloud.com`, `mypurecloud.de`, `usw2.pure.cloud` …: gives `https://login.REGION` and `https://api.REGION`',
  },
  GENESYS_CLIENT_ID: {
    default: '–',
    meaning: 'OAuth client (client credentials); several, comma-separated, take turns',
  },
  GENESYS_CLIENT_SECRET: { default: '–', meaning: 'its secret; as many, in the same order' },
  GENESYS_LOGIN_URL: { default: 'from region', meaning: 'overrides the login host (a proxy, a test server)' },
  GENESYS_API_URL: { default: 'from region', meaning: 'overrides the API host' },
  GENESYS_RECORDING_API: {
    default: 'auto',
    meaning: '`recordings`, `media` or `auto`: the Recording API where a conversation id is known, else the Media API',
  },
  GENESYS_MEDIA_HOSTS: {
    default: '*.amazonaws.com',
    meaning:
      'where media may be downloaded from besides the API host; https only, unless an entry names scheme and port (`http://127.0.0.1:9100`)',
  },
  QUEUE_URL: { default: 'sqlite:var/queue.db', meaning: 'or `pubsub://PROJECT/TOPIC?subscription=NAME`' },
  ARCHIVE_URL: { default: 'file:var/archive', meaning: 'or `gs://BUCKET/PREFIX`' },
  GCS_API_ENDPOINT: { default: '–', meaning: 'another Cloud Storage server (tests)' },
  GCS_LINK_HOST: {
    default: 'storage.googleapis.com',
    meaning: 'host name of signed bucket links: your own, where a load balancer serves the bucket over https',
  },
  ARCHIVE_ORIGINAL: { default: 'no', meaning: '`yes` keeps the media bit-exact beside the WebM' },
  ARCHIVE_ON_LISTEN: {
    default: 'no',
    meaning: '`yes` archives what `/transcode` was asked for and is not archived yet',
  },
  WEBHOOK_SECRETS: { default: '–', meaning: 'HMAC keys, comma-separated (rotation); `whsec_…` is taken as base64' },
  WEBHOOK_TOKENS: {
    default: '–',
    meaning:
      'shared tokens, comma-separated: `Authorization: Bearer T`, `X-Webhook-Token: T`, or Basic with password T',
  },
  WEBHOOK_AUTH: { default: 'required', meaning: '`none` only together with a loopback HOST' },
  API_KEYS: {
    default: '–',
    meaning: 'keys for /transcode and /recordings, comma-separated: `Authorization: Bearer K` or `X-API-Key: K`',
  },
  API_AUTH: { default: 'required', meaning: '`none` only together with a loopback HOST' },
  PUSH_AUDIENCE: { default: '–', meaning: 'audience of the push token; set both to serve /pubsub/push' },
  PUSH_SERVICE_ACCOUNT: { default: '–', meaning: 'email of the account that pushes' },
  TRANSCODE_SLOTS: { default: 'CPU count', meaning: 'encoders at once' },
  TRANSCODE_QUEUE: { default: '2 x slots', meaning: 'listeners that may wait for a slot; beyond it 429' },
  LINK_LIFETIME_S: { default: '900', meaning: 'life of a signed link, seconds (at most 604800)' },
  LINK_KEYS: {
    default: 'kept under var/',
    meaning: 'keys that sign embedded links, comma-separated, the first signs; generated once if absent',
  },
  MAX_MEDIA_BYTES: { default: '8589934592', meaning: 'larger media is refused' },
  MAX_DURATION_S: { default: '43200', meaning: 'longer media is refused' },
  LOG_LEVEL: { default: 'info', meaning: '`error`, `warn`, `info` or `debug`; one JSON line each on stdout' },
} as const satisfies Record<string, { default: string; meaning: string }>;

type Name = keyof typeof VARIABLES;

/** Which deployable asks: each needs only its own part of the environment. */
export type Command = 'serve' | 'receiver' | 'worker' | 'playback';

export type QueueConfig =
  | { readonly kind: 'sqlite'; readonly path: string }
  | {
      readonly kind: 'pubsub';
      readonly project: string;
      readonly topic: string;
      readonly subscription: string | undefined;
    };

export type ArchiveConfig =
  | { readonly kind: 'folder'; readonly path: string; readonly linkKeys: readonly string[] }
  | {
      readonly kind: 'bucket';
      readonly bucket: string;
      readonly prefix: string;
      readonly apiEndpoint: string | undefined;
      /** Where signed links point to, `https://host`; undefined for Cloud Storage itself, which has the bucket in the path. */
      readonly linkHost: string | undefined;
    };

/** One place media may come from: an exact origin, or a host suffix over https on port 443. */
export type MediaHost = { readonly origin: string } | { readonly suffix: string } | { readonly host: string };

export interface GenesysConfig {
  readonly loginUrl: string;
  readonly apiUrl: string;
  readonly clients: readonly { readonly id: string; readonly secret: string }[];
  readonly recordingApi: 'auto' | 'recordings' | 'media';
  readonly mediaHosts: readonly MediaHost[];
  readonly maxMediaBytes: number;
}

export interface Config {
  readonly host: string;
  readonly port: number;
  /** Undefined where it is the address that the service listens on: with PORT=0 nobody knows it before. */
  readonly publicUrl: string | undefined;
  readonly genesys: GenesysConfig;
  readonly queue: QueueConfig;
  readonly archive: ArchiveConfig;
  readonly archiveOriginal: boolean;
  readonly archiveOnListen: boolean;
  readonly webhook: {
    readonly required: boolean;
    readonly secrets: readonly string[];
    readonly tokens: readonly string[];
  };
  readonly api: { readonly required: boolean; readonly keys: readonly string[] };
  readonly push: { readonly audience: string; readonly serviceAccount: string } | undefined;
  readonly transcodeSlots: number;
  readonly transcodeQueue: number;
  readonly linkLifetimeS: number;
  readonly maxDurationS: number;
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug';
}

/** All problems of an environment, each naming its variable and what to do; never a secret's value. */
export class ConfigProblems extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(
      `The configuration has ${String(problems.length)} problem${problems.length === 1 ? '' : 's'}:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`,
    );
    this.name = 'ConfigProblems';
    this.problems = problems;
  }
}

/** @throws ConfigProblems with every problem at once */
export function readConfig(env: Readonly<Record<string, string | undefined>>, command: Command): Config {
  const problems: string[] = [];
  const read = new Reader(env, problems);

  const host = read.text('HOST', '127.0.0.1');
  const port = read.integer('PORT', 8080, 0, 65535);
  const loopback = isLoopback(host);
  const works = command === 'serve' || command === 'worker';
  const receives = command === 'serve' || command === 'receiver';
  const plays = command === 'serve' || command === 'playback';

  const queue = readQueue(read);
  if (queue.kind === 'pubsub' && works && queue.subscription === undefined && !env['PUSH_AUDIENCE']) {
    problems.push(
      'QUEUE_URL: a worker needs ?subscription=NAME at its end, or PUSH_AUDIENCE and PUSH_SERVICE_ACCOUNT to be pushed to.',
    );
  }

  const webhook = {
    required: read.choice('WEBHOOK_AUTH', ['required', 'none'], 'required') === 'required',
    secrets: read.list('WEBHOOK_SECRETS'),
    tokens: read.list('WEBHOOK_TOKENS'),
  };
  if (receives) {
    if (!webhook.required && !loopback)
      problems.push(
        'WEBHOOK_AUTH: "none" is only allowed with a loopback HOST; set WEBHOOK_SECRETS or WEBHOOK_TOKENS.',
      );
    if (webhook.required && webhook.secrets.length + webhook.tokens.length === 0) {
      problems.push(
        'WEBHOOK_SECRETS or WEBHOOK_TOKENS: set at least one (openssl rand -base64 32), or WEBHOOK_AUTH=none on a loopback HOST.',
      );
    }
  }
  const api = {
    required: read.choice('API_AUTH', ['required', 'none'], 'required') === 'required',
    keys: read.list('API_KEYS'),
  };
  if (plays) {
    if (!api.required && !loopback)
      problems.push('API_AUTH: "none" is only allowed with a loopback HOST; set API_KEYS.');
    if (api.required && api.keys.length === 0)
      problems.push('API_KEYS: set at least one (openssl rand -base64 32), or API_AUTH=none on a loopback HOST.');
  }

  const transcodeSlots = read.integer('TRANSCODE_SLOTS', availableParallelism(), 1, 256);
  const config: Config = {
    host,
    port,
    publicUrl: read.url('PUBLIC_URL'),
    genesys: readGenesys(read, works || plays, problems),
    queue,
    archive: readArchive(read),
    archiveOriginal: read.choice('ARCHIVE_ORIGINAL', ['yes', 'no'], 'no') === 'yes',
    archiveOnListen: read.choice('ARCHIVE_ON_LISTEN', ['yes', 'no'], 'no') === 'yes',
    webhook,
    api,
    push: readPush(read, problems),
    transcodeSlots,
    transcodeQueue: read.integer('TRANSCODE_QUEUE', 2 * transcodeSlots, 0, 10_000),
    linkLifetimeS: read.integer('LINK_LIFETIME_S', 900, 1, 604_800),
    maxDurationS: read.integer('MAX_DURATION_S', 43_200, 1, 604_800),
    logLevel: read.choice('LOG_LEVEL', ['error', 'warn', 'info', 'debug'], 'info'),
  };
  if (problems.length > 0) throw new ConfigProblems(problems);
  return deepFreeze(config);
}

/** Values no log line may ever hold. */
export function secretsOf(config: Config): readonly string[] {
  return [
    ...config.genesys.clients.map((client) => client.secret),
    ...config.webhook.secrets,
    ...config.webhook.tokens,
    ...config.api.keys,
    ...(config.archive.kind === 'folder' ? config.archive.linkKeys : []),
  ];
}

function readQueue(read: Reader): QueueConfig {
  const value = read.text('QUEUE_URL', 'sqlite:var/queue.db');
  if (value.startsWith('sqlite:') && value.length > 'sqlite:'.length)
    return { kind: 'sqlite', path: value.slice('sqlite:'.length) };
  const match = /^pubsub:\/\/([^/?#]+)\/([^/?#]+)(?:\?subscription=([^&#]+))?$/.exec(value);
  if (match?.[1] !== undefined && match[2] !== undefined)
    return { kind: 'pubsub', project: match[1], topic: match[2], subscription: match[3] };
  read.problem('QUEUE_URL', 'expected sqlite:PATH or pubsub://PROJECT/TOPIC?subscription=NAME');
  return { kind: 'sqlite', path: '' };
}

function readArchive(read: Reader): ArchiveConfig {
  const value = read.text('ARCHIVE_URL', 'file:var/archive');
  const linkKeys = read.list('LINK_KEYS');
  const apiEndpoint = read.url('GCS_API_ENDPOINT');
  const linkHost = readLinkHost(read);
  if (value.startsWith('file:') && value.length > 'file:'.length)
    return { kind: 'folder', path: value.slice('file:'.length), linkKeys };
  const match = /^gs:\/\/([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:\/([^?#]*))?$/.exec(value);
  if (match?.[1] !== undefined) {
    const prefix = (match[2] ?? '').replace(/^\/+|\/+$/g, '');
    return { kind: 'bucket', bucket: match[1], prefix, apiEndpoint, linkHost };
  }
  read.problem('ARCHIVE_URL', 'expected file:PATH or gs://BUCKET/PREFIX');
  return { kind: 'folder', path: '', linkKeys };
}

const STORAGE_HOST: string = VARIABLES.GCS_LINK_HOST.default;

/** A name alone, by RFC 1123 §2.1: the signature covers it, and TLS certificates are for names. */
function readLinkHost(read: Reader): string | undefined {
  const host = read.text('GCS_LINK_HOST', STORAGE_HOST).toLowerCase();
  const labels = host.split('.');
  const isName = labels.length > 1 && host.length <= 253 && labels.every((label) => LABEL.test(label));
  if (!isName || /^\d+$/.test(labels.at(-1) ?? '')) {
    read.problem('GCS_LINK_HOST', 'expected a host name alone, such as media.example.com');
  }
  return host === STORAGE_HOST ? undefined : `https://${host}`;
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

function readGenesys(read: Reader, needed: boolean, problems: string[]): GenesysConfig {
  const region = read.text('GENESYS_REGION', '');
  if (region !== '' && !/^[a-z0-9-]+(\.[a-z0-9-]+)+$/.test(region))
    read.problem('GENESYS_REGION', 'expected a domain such as mypurecloud.de');
  const loginUrl = read.url('GENESYS_LOGIN_URL') ?? (region === '' ? '' : `https://login.${region}`);
  const apiUrl = read.url('GENESYS_API_URL') ?? (region === '' ? '' : `https://api.${region}`);
  const ids = read.list('GENESYS_CLIENT_ID');
  const secrets = read.list('GENESYS_CLIENT_SECRET');
  if (needed) {
    if (loginUrl === '' || apiUrl === '')
      problems.push(
        'GENESYS_REGION: set it to your region, e.g. mypurecloud.de (or both GENESYS_LOGIN_URL and GENESYS_API_URL).',
      );
    if (ids.length === 0)
      problems.push('GENESYS_CLIENT_ID: set it to the id of an OAuth client with grant type Client Credentials.');
    if (secrets.length === 0) problems.push('GENESYS_CLIENT_SECRET: set it to the secret of that client.');
    if (ids.length !== secrets.length && ids.length > 0 && secrets.length > 0) {
      problems.push(
        `GENESYS_CLIENT_ID and GENESYS_CLIENT_SECRET: ${String(ids.length)} ids but ${String(secrets.length)} secrets; give as many of each, in the same order.`,
      );
    }
  }
  return {
    loginUrl,
    apiUrl,
    clients: ids.map((id, index) => ({ id, secret: secrets[index] ?? '' })),
    recordingApi: read.choice('GENESYS_RECORDING_API', ['auto', 'recordings', 'media'], 'auto'),
    mediaHosts: readMediaHosts(read),
    maxMediaBytes: read.integer('MAX_MEDIA_BYTES', 8 * 1024 ** 3, 1, Number.MAX_SAFE_INTEGER),
  };
}

function readMediaHosts(read: Reader): readonly MediaHost[] {
  const entries = read.list('GENESYS_MEDIA_HOSTS');
  return (entries.length > 0 ? entries : ['*.amazonaws.com']).flatMap((entry, index): MediaHost[] => {
    if (/^\*\.[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(entry)) return [{ suffix: entry.slice(1).toLowerCase() }];
    if (/^[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(entry)) return [{ host: entry.toLowerCase() }];
    if (/^https?:\/\/[^/?#@]+$/i.test(entry) && URL.canParse(entry)) return [{ origin: new URL(entry).origin }];
    // Never the entry itself: it may be a media URL pasted whole, signature included.
    read.problem(
      'GENESYS_MEDIA_HOSTS',
      `entry ${String(index + 1)} is neither *.domain, a host name nor scheme://host:port`,
    );
    return [];
  });
}

function readPush(read: Reader, problems: string[]): Config['push'] {
  const audience = read.text('PUSH_AUDIENCE', '');
  const serviceAccount = read.text('PUSH_SERVICE_ACCOUNT', '');
  if (audience === '' && serviceAccount === '') return undefined;
  if (audience === '')
    problems.push(
      'PUSH_AUDIENCE: set it to the audience of the push subscription (usually the URL of this service); without it any Google token would pass.',
    );
  if (serviceAccount === '')
    problems.push('PUSH_SERVICE_ACCOUNT: set it to the email of the service account that pushes.');
  return { audience, serviceAccount };
}

class Reader {
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #problems: string[];

  constructor(env: Readonly<Record<string, string | undefined>>, problems: string[]) {
    this.#env = env;
    this.#problems = problems;
  }

  problem(name: Name, text: string): void {
    this.#problems.push(`${name}: ${text}.`);
  }

  text(name: Name, fallback: string): string {
    const value = this.#env[name]?.trim();
    return value === undefined || value === '' ? fallback : value;
  }

  list(name: Name): readonly string[] {
    return this.text(name, '')
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
  }

  choice<const T extends string>(name: Name, choices: readonly T[], fallback: T): T {
    const value = this.text(name, fallback);
    const found = choices.find((choice) => choice === value);
    if (found === undefined) this.problem(name, `expected ${choices.map((choice) => `"${choice}"`).join(' or ')}`);
    return found ?? fallback;
  }

  integer(name: Name, fallback: number, min: number, max: number): number {
    const value = this.text(name, String(fallback));
    const number = /^\d{1,16}$/.test(value) ? Number(value) : NaN;
    if (number >= min && number <= max) return number;
    this.problem(name, `expected a whole number from ${String(min)} to ${String(max)}`);
    return fallback;
  }

  /** An http(s) URL without user, query and fragment, and without a slash at its end. */
  url(name: Name): string | undefined {
    const value = this.text(name, '');
    if (value === '') return undefined;
    const url = URL.canParse(value) ? new URL(value) : undefined;
    if (
      url === undefined ||
      !/^https?:$/.test(url.protocol) ||
      url.username !== '' ||
      url.password !== '' ||
      url.search !== '' ||
      url.hash !== ''
    ) {
      this.problem(name, 'expected an http or https URL without user, query or fragment');
      return undefined;
    }
    return url.href.replace(/\/+$/, '');
  }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

function deepFreeze<T extends object>(value: T): T {
  for (const child of Object.values(value)) if (typeof child === 'object' && child !== null) deepFreeze(child);
  return Object.freeze(value);
}
