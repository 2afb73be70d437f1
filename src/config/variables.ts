/** Every variable of the environment that this program reads, one descriptor each: reader, help and tables come from here. */

/** What a variable belongs to, with the heading it stands under. */
const PARTS = {
  address: 'Address',
  genesys: 'Genesys Cloud',
  outbound: 'Way out',
  queue: 'Queue',
  archive: 'Archive',
  webhook: 'Events',
  api: 'Keys',
  playback: 'Listeners',
  console: 'Console',
  push: 'Pushed messages',
  making: 'Making WebM',
  night: 'Each night',
  notices: 'Telling somebody',
  task: 'One of several tasks (Cloud Run jobs set these)',
  proof: 'Certificates and seals',
  log: 'Log and traces',
} as const;

export type Part = keyof typeof PARTS;

/** Which parts each command reads; it demands nothing of the others. */
const COMMANDS = {
  serve: [
    'address',
    'genesys',
    'outbound',
    'queue',
    'archive',
    'webhook',
    'api',
    'playback',
    'console',
    'push',
    'making',
    'night',
    'proof',
    'notices',
    'log',
  ],
  receiver: ['address', 'outbound', 'queue', 'webhook', 'api', 'log'],
  worker: ['address', 'genesys', 'outbound', 'queue', 'archive', 'api', 'push', 'making', 'notices', 'log'],
  playback: ['address', 'genesys', 'outbound', 'queue', 'archive', 'api', 'playback', 'making', 'log'],
  console: ['address', 'outbound', 'queue', 'archive', 'api', 'playback', 'console', 'log'],
  reconcile: ['genesys', 'outbound', 'archive', 'log'],
  backfill: ['genesys', 'outbound', 'archive', 'making', 'task', 'log'],
  doctor: ['genesys', 'outbound', 'queue', 'archive', 'making', 'log'],
  status: ['outbound', 'queue', 'archive', 'log'],
  erase: ['outbound', 'queue', 'archive', 'log'],
  restore: ['genesys', 'outbound', 'archive', 'log'],
  retire: ['genesys', 'outbound', 'archive', 'log'],
  hold: ['outbound', 'archive', 'log'],
  verify: ['outbound', 'archive', 'proof', 'log'],
  certificate: ['outbound', 'archive', 'proof', 'log'],
  export: ['outbound', 'archive', 'proof', 'log'],
  audit: ['outbound', 'archive', 'log'],
  replay: ['genesys', 'outbound', 'archive', 'making', 'log'],
} as const satisfies Record<string, readonly Part[]>;

export type Command = keyof typeof COMMANDS;

interface About {
  readonly part: Part;
  /** Read where nothing is set. */
  readonly default?: string;
  /** What the tables say where the default is computed. */
  readonly otherwise?: string;
  readonly meaning: string;
}

/**
 * `pairs` are `name=value,…`, percent-encoded; a `secret` is shown nowhere, and X_FILE may name a file it is read from;
 * `foreign` is read by a library, straight from the environment.
 */
type Kind =
  | { readonly kind: 'text' | 'list' | 'url' | 'switch' | 'pairs' | 'secret' | 'foreign' }
  | { readonly kind: 'choice'; readonly choices: readonly string[] }
  | { readonly kind: 'count'; readonly min: number; readonly max: number };

/** Of the parts in turn, each as the tables list it. */
export const VARIABLES = {
  HOST: {
    part: 'address',
    kind: 'text',
    default: '127.0.0.1',
    meaning: 'address or name to listen on (the image sets `0.0.0.0`)',
  },
  PORT: { part: 'address', kind: 'count', min: 0, max: 65_535, default: '8080', meaning: 'port to listen on' },
  PUBLIC_URL: {
    part: 'address',
    kind: 'url',
    otherwise: 'from HOST and PORT',
    meaning: 'how callers reach the service; embedded links start with it',
  },
  METRICS_PORT: {
    part: 'address',
    kind: 'count',
    min: 0,
    max: 65_535,
    otherwise: 'none',
    meaning:
      'a port of its own for /metrics and for /readyz with its reasons, without a key; elsewhere they ask for one of API_KEYS',
  },
  METRICS_HOST: {
    part: 'address',
    kind: 'text',
    default: '127.0.0.1',
    meaning: 'where that port listens: an address that only those can reach who may see them',
  },
  GENESYS_REGION: {
    part: 'genesys',
    kind: 'text',
    meaning:
      '`mypurecloud.com`, `mypurecloud.de`, `usw2.pure.cloud` …, or AWS’ name of it (`eu-central-1`): gives `https://login.REGION` and `https://api.REGION`',
  },
  GENESYS_CLIENT_ID: {
    part: 'genesys',
    kind: 'list',
    meaning:
      'OAuth client (client credentials); several, comma-separated, take turns, without those that Genesys refuses',
  },
  GENESYS_CLIENT_SECRET: {
    part: 'genesys',
    kind: 'secret',
    meaning: 'its secret; as many, in the same order',
  },
  GENESYS_LOGIN_URL: {
    part: 'genesys',
    kind: 'url',
    otherwise: 'from region',
    meaning: 'overrides the login host (a proxy, a test server)',
  },
  GENESYS_API_URL: { part: 'genesys', kind: 'url', otherwise: 'from region', meaning: 'overrides the API host' },
  GENESYS_RECORDING_API: {
    part: 'genesys',
    kind: 'choice',
    choices: ['auto', 'recordings', 'media'],
    default: 'auto',
    meaning: '`recordings`, `media` or `auto`: the Recording API where a conversation id is known, else the Media API',
  },
  GENESYS_MEDIA_HOSTS: {
    part: 'genesys',
    kind: 'list',
    default: '*.amazonaws.com,*.amazonaws.eu,*.amazonaws.com.cn',
    meaning:
      'where media may be downloaded from besides the API host; https only, unless an entry names scheme and port (`http://127.0.0.1:9100`)',
  },
  HTTPS_PROXY: {
    part: 'outbound',
    kind: 'text',
    meaning: '`http://user:password@host:port`: the proxy that Genesys, its media and Google are reached through',
  },
  HTTP_PROXY: {
    part: 'outbound',
    kind: 'text',
    meaning: 'the same for hosts without TLS; alone it serves both',
  },
  NO_PROXY: {
    part: 'outbound',
    kind: 'text',
    meaning: 'hosts reached directly, comma-separated: a name with its subdomains, `*.domain`, an address, `host:port`',
  },
  QUEUE_URL: {
    part: 'queue',
    kind: 'text',
    default: 'sqlite:var/queue.db',
    meaning: 'or `pubsub://PROJECT/TOPIC?subscription=NAME`',
  },
  PUBSUB_EMULATOR_HOST: { part: 'queue', kind: 'foreign', meaning: 'another Pub/Sub server, `HOST:PORT` (tests)' },
  ARCHIVE_URL: { part: 'archive', kind: 'text', default: 'file:var/archive', meaning: 'or `gs://BUCKET/PREFIX`' },
  GCS_API_ENDPOINT: { part: 'archive', kind: 'url', meaning: 'another Cloud Storage server (tests)' },
  GCS_LINK_HOST: {
    part: 'archive',
    kind: 'text',
    default: 'storage.googleapis.com',
    meaning: 'host name of signed bucket links: your own, where a load balancer serves the bucket over https',
  },
  GOOGLE_APPLICATION_CREDENTIALS: {
    part: 'archive',
    kind: 'foreign',
    otherwise: 'the instance’s own account',
    meaning: 'file with the credentials for Google Cloud',
  },
  METADATA_SERVER_DETECTION: {
    part: 'archive',
    kind: 'foreign',
    meaning: '`none` where Google’s metadata server is not to be looked for',
  },
  ARCHIVE_ORIGINAL: {
    part: 'archive',
    kind: 'switch',
    default: 'no',
    meaning: '`yes` keeps the media bit-exact beside the WebM',
  },
  LOCK_DAYS: {
    part: 'archive',
    kind: 'count',
    min: 1,
    max: 36_500,
    otherwise: 'none',
    meaning:
      'in a bucket with object retention: for so many days from when it was archived nobody can remove or replace a recording',
  },
  LOCK_MODE: {
    part: 'archive',
    kind: 'choice',
    choices: ['unlocked', 'locked'],
    default: 'unlocked',
    meaning: '`locked`: nobody can ever shorten that, whatever their rights; what is stored so stays so',
  },
  ARCHIVE_ON_LISTEN: {
    part: 'archive',
    kind: 'switch',
    default: 'no',
    meaning: '`yes` archives what `/transcode` was asked for and is not archived yet',
  },
  KEEP_DETAILS: {
    part: 'archive',
    kind: 'choice',
    choices: ['details', 'transcript', 'no'],
    default: 'details',
    meaning:
      'what is kept of a conversation beside its recordings, and by what they can be found: `details` (who, queue, numbers, direction), `transcript` (what was said, too), or `no`',
  },
  WEBHOOK_SECRETS: {
    part: 'webhook',
    kind: 'secret',
    meaning:
      'HMAC keys, comma-separated (rotation): `SECRET`, `name:SECRET` or `name:SECRET:2027-01-01`; `whsec_…` is taken as base64',
  },
  WEBHOOK_TOKENS: {
    part: 'webhook',
    kind: 'secret',
    meaning:
      'shared tokens, written like keys: `Authorization: Bearer T`, `X-Webhook-Token: T`, or Basic with password T',
  },
  WEBHOOK_AUTH: {
    part: 'webhook',
    kind: 'choice',
    choices: ['required', 'none'],
    default: 'required',
    meaning: '`none` only together with a loopback HOST',
  },
  API_KEYS: {
    part: 'api',
    kind: 'secret',
    meaning:
      'keys for /transcode, /recordings, /metrics and the reasons of /readyz, comma-separated: `K`, `name:K` or `name:K:2027-01-01` (its last day); `Authorization: Bearer K` or `X-API-Key: K`',
  },
  API_AUTH: {
    part: 'api',
    kind: 'choice',
    choices: ['required', 'none'],
    default: 'required',
    meaning: '`none` only together with a loopback HOST',
  },
  API_RATE: {
    part: 'api',
    kind: 'count',
    min: 1,
    max: 10_000,
    default: '50',
    meaning: 'requests a second that one key may make of recordings, five times as many at once; beyond it 429',
  },
  LINK_LIFETIME_S: {
    part: 'playback',
    kind: 'count',
    min: 1,
    max: 604_800,
    default: '900',
    meaning: 'life of a signed link, seconds (at most 604800)',
  },
  LINK_ORIGINS: {
    part: 'playback',
    kind: 'list',
    meaning:
      'origins whose pages may fetch what an embedded link leads to (`https://player.example`, or `*`), comma-separated; a bucket has CORS settings of its own',
  },
  LINK_KEYS: {
    part: 'playback',
    kind: 'secret',
    otherwise: 'kept in the archive folder',
    meaning: 'keys that sign embedded links, written like keys, the first signs; generated once if absent',
  },
  TRUSTED_PROXIES: {
    part: 'playback',
    kind: 'count',
    min: 0,
    max: 10,
    default: '0',
    meaning: 'proxies in front whose X-Forwarded-For is believed, for the audit (Cloud Run alone: 1)',
  },
  CONSOLE_AUTH: {
    part: 'console',
    kind: 'choice',
    choices: ['auto', 'iap', 'oidc', 'key', 'none'],
    default: 'auto',
    meaning:
      'how people sign in to `/console/`: `iap` (Identity-Aware Proxy in front), `oidc` (an identity provider), `key` (one of API_KEYS), `none` together with a loopback HOST alone, or `auto`: `key`, and `none` where API_AUTH is',
  },
  CONSOLE_ROLES: {
    part: 'console',
    kind: 'text',
    otherwise: 'with `key` and `none` listen, numbers, operate and audit for all',
    meaning:
      'who may do what: `listen=@example.com; operate=group:platform; erase=dpo@example.com; listen:Claims=group:claims`; roles are listen (also of one division), numbers, operate, hold, erase, audit, none is part of another; `*` is everybody who has signed in; it is about pages: by /transcode and /recordings each of API_KEYS plays everything',
  },
  CHANNEL_NAMES: {
    part: 'console',
    kind: 'list',
    default: 'customer,agent',
    meaning:
      'what the two channels of a call are called; Genesys Cloud puts the outer side on the first one, without promising it',
  },
  CONSOLE_SESSION_KEYS: {
    part: 'console',
    kind: 'secret',
    otherwise: 'made anew at each start',
    meaning:
      'keys that encrypt sessions, written like keys; the first that lives 8 h more is used, all are understood; several instances need them, and without any a restart ends all sessions',
  },
  CONSOLE_IAP_AUDIENCE: {
    part: 'console',
    kind: 'text',
    meaning:
      '`aud` of the assertions of IAP, such as `/projects/NUMBER/locations/REGION/services/SERVICE`; the log names the one that arrives',
  },
  CONSOLE_OIDC_ISSUER: {
    part: 'console',
    kind: 'url',
    meaning: 'the identity provider; PUBLIC_URL/console/sign-in/callback is where it sends people back to',
  },
  CONSOLE_OIDC_CLIENT_ID: { part: 'console', kind: 'text', meaning: 'the client registered there for the console' },
  CONSOLE_OIDC_CLIENT_SECRET: { part: 'console', kind: 'secret', meaning: 'its secret' },
  CONSOLE_OIDC_GROUPS: {
    part: 'console',
    kind: 'text',
    default: 'groups',
    meaning: 'the claim of the ID token that names groups',
  },
  PUSH_AUDIENCE: {
    part: 'push',
    kind: 'text',
    meaning: 'audience of the push token; set both to serve /pubsub/push',
  },
  PUSH_SERVICE_ACCOUNT: { part: 'push', kind: 'text', meaning: 'email of the account that pushes' },
  TRANSCODE_SLOTS: {
    part: 'making',
    kind: 'count',
    min: 1,
    max: 256,
    otherwise: 'CPU count',
    meaning: 'encoders at once',
  },
  TRANSCODE_QUEUE: {
    part: 'making',
    kind: 'count',
    min: 0,
    max: 10_000,
    otherwise: '2 x slots',
    meaning: 'listeners that may wait for a slot; beyond it 429',
  },
  ENCODER_CAGE: {
    part: 'making',
    kind: 'choice',
    choices: ['best', 'required'],
    default: 'best',
    meaning:
      '`required`, which the image sets: no start unless encoders are shut off from network, files, the service and its processes',
  },
  MAX_MEDIA_BYTES: {
    part: 'making',
    kind: 'count',
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    default: '8589934592',
    meaning: 'larger media is refused',
  },
  MAX_DURATION_S: {
    part: 'making',
    kind: 'count',
    min: 1,
    max: 604_800,
    default: '43200',
    meaning: 'longer media is refused',
  },
  PATH: { part: 'making', kind: 'foreign', meaning: 'where `ffmpeg` and `ffprobe` are looked for' },
  RECONCILE: {
    part: 'night',
    kind: 'choice',
    choices: ['nightly', 'no'],
    default: 'nightly',
    meaning:
      '`nightly`: `serve` looks each night for what Genesys has and no event told of, writes the proofs of the days, and fetches what is missing; then it verifies the archive, of which it reads a thirtieth; `no`: only `archiver reconcile`, `backfill` and `verify` do',
  },
  NOTIFY_URL: {
    part: 'notices',
    kind: 'text',
    meaning:
      'where a Standard Webhook goes for each recording that was archived or failed and each day that stays incomplete: at least once, ids and times alone',
  },
  NOTIFY_SECRET: {
    part: 'notices',
    kind: 'secret',
    meaning: 'the key that signs them, written like those of WEBHOOK_SECRETS; several sign side by side (rotation)',
  },
  CLOUD_RUN_TASK_INDEX: {
    part: 'task',
    kind: 'count',
    min: 0,
    max: 9_999,
    default: '0',
    meaning: 'which task this is',
  },
  CLOUD_RUN_TASK_COUNT: {
    part: 'task',
    kind: 'count',
    min: 1,
    max: 10_000,
    default: '1',
    meaning: 'how many there are: each takes every so many-th day',
  },
  CLOUD_RUN_TASK_ATTEMPT: {
    part: 'task',
    kind: 'count',
    min: 0,
    max: 100,
    default: '0',
    meaning: 'how often this task ended early before: then it goes on with care',
  },
  CERTIFICATE_KEY: {
    part: 'proof',
    kind: 'secret',
    otherwise: 'kept in the archive folder',
    meaning:
      'Ed25519 key that signs certificates and seals: PEM, or `projects/…/cryptoKeyVersions/N` of Cloud KMS (EC_SIGN_ED25519); generated once if absent, but not in a bucket',
  },
  KMS_API_ENDPOINT: { part: 'proof', kind: 'url', meaning: 'another Cloud KMS server (tests)' },
  LOG_LEVEL: {
    part: 'log',
    kind: 'choice',
    choices: ['error', 'warn', 'info', 'debug'],
    default: 'info',
    meaning: '`error`, `warn`, `info` or `debug`; one JSON line each on stdout',
  },
  GOOGLE_CLOUD_PROJECT: {
    part: 'log',
    kind: 'text',
    meaning: 'project that the trace of a log line belongs to (Cloud Logging links them)',
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    part: 'log',
    kind: 'text',
    meaning: 'collector that traces are sent to, as OTLP over HTTP, such as `http://localhost:4318`',
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {
    part: 'log',
    kind: 'text',
    meaning: 'the same with its whole path, where traces go elsewhere',
  },
  OTEL_EXPORTER_OTLP_HEADERS: {
    part: 'log',
    kind: 'secret',
    meaning: 'headers for the collector, `name=value,…`, percent-encoded',
  },
  OTEL_EXPORTER_OTLP_TRACES_HEADERS: {
    part: 'log',
    kind: 'secret',
    meaning: 'headers of traces alone; they go first',
  },
  OTEL_EXPORTER_OTLP_PROTOCOL: { part: 'log', kind: 'text', meaning: '`http/json`; gRPC is not spoken' },
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: { part: 'log', kind: 'text', meaning: 'the same of traces alone' },
  OTEL_EXPORTER_OTLP_TIMEOUT: { part: 'log', kind: 'foreign', default: '10000', meaning: 'of one request, ms' },
  OTEL_EXPORTER_OTLP_COMPRESSION: { part: 'log', kind: 'foreign', meaning: '`gzip` compresses what is sent' },
  OTEL_EXPORTER_OTLP_CERTIFICATE: {
    part: 'log',
    kind: 'foreign',
    meaning: 'file with the certificate the collector’s is checked against',
  },
  OTEL_SERVICE_NAME: {
    part: 'log',
    kind: 'text',
    otherwise: 'name and command',
    meaning: 'what the service is called in traces',
  },
  OTEL_RESOURCE_ATTRIBUTES: {
    part: 'log',
    kind: 'pairs',
    meaning: 'what else traces say of it, `name=value,…`, percent-encoded',
  },
  OTEL_TRACES_SAMPLER: {
    part: 'log',
    kind: 'text',
    default: 'parentbased_always_on',
    meaning: '`always_on`, `always_off` or `traceidratio`, each also with `parentbased_` before it',
  },
  OTEL_TRACES_SAMPLER_ARG: { part: 'log', kind: 'text', default: '1', meaning: 'share of new traces, 0 to 1' },
  OTEL_TRACES_EXPORTER: { part: 'log', kind: 'text', default: 'otlp', meaning: '`none` sends no traces' },
  OTEL_SDK_DISABLED: { part: 'log', kind: 'text', default: 'false', meaning: '`true` sends no traces' },
} as const satisfies Record<string, About & Kind>;

export type Name = keyof typeof VARIABLES;

/** The variables of one kind. */
export type NameOf<K extends Kind['kind']> = {
  [N in Name]: (typeof VARIABLES)[N] extends { readonly kind: K } ? N : never;
}[Name];

export type SecretName = NameOf<'secret'>;

/** What a choice may be. */
export type ChoiceOf<N extends NameOf<'choice'>> = (typeof VARIABLES)[N]['choices'][number];

/** Whether a name is one whose parts are known. */
export function isConfigured(name: string): name is Command {
  return Object.hasOwn(COMMANDS, name);
}

export function hasPart(command: Command, part: Part): boolean {
  return COMMANDS[command].some((each) => each === part);
}

/** Read where nothing is set; empty where there is none, or where it is computed. */
export function defaultOf(name: Name): string {
  const about: About = VARIABLES[name];
  return about.default ?? '';
}

/** One line of a table, in Markdown: the variable, what holds where it is not set, what it means. */
export interface Row {
  readonly name: string;
  readonly default: string;
  readonly meaning: string;
}

/** Those of one part, or of all. */
export function rowsOf(part?: Part): readonly Row[] {
  const all: readonly (readonly [string, About])[] = Object.entries(VARIABLES);
  return all
    .filter(([, variable]) => part === undefined || variable.part === part)
    .map(([name, variable]) => ({
      name,
      default: variable.default === undefined ? (variable.otherwise ?? '–') : `\`${variable.default}\``,
      meaning: variable.meaning,
    }));
}

/** Said of all secrets at once. */
export const SECRETS_ROW: Row = {
  name: 'X_FILE',
  default: '–',
  meaning: `instead of a secret X: the file it is read from, and read again when it changes, without a restart (X is ${secretNames().join(', ')}); what cannot be used is not taken, and a warning says why`,
};

function secretNames(): readonly string[] {
  return Object.entries(VARIABLES).flatMap(([name, { kind }]) => (kind === 'secret' ? [`\`${name}\``] : []));
}

/** What `archiver COMMAND --help` says of the environment: the variables of its parts, with their defaults. */
export function environmentHelp(command: Command): string {
  const sections = COMMANDS[command].map((part) => `${PARTS[part]}:\n\n${rowsOf(part).map(helpLine).join('\n')}`);
  return `${[...sections, `Secrets:\n\n${helpLine(SECRETS_ROW)}`].join('\n\n')}\n`;
}

function helpLine(row: Row): string {
  return `  ${row.name} (${row.default})\n      ${row.meaning}`.replaceAll('`', '');
}
