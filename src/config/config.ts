/** An environment → one frozen configuration, or a list of everything that is wrong with it. */
import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { type Key, keysInUse } from '../key.ts';
import { isLoopback } from '../loopback.ts';
import { readConsole, type AccessConfig } from './console.ts';
import { readCertificate, type CertificateConfig } from './certificate.ts';
import { readGenesys, type GenesysConfig } from './genesys.ts';
import { readProxies, type Proxies } from './proxies.ts';
import { Reader } from './reader.ts';
import type { SecretFile } from './secret-file.ts';
import type { KeyList } from './secrets.ts';
import type { Environment } from './text.ts';
import { readTracing, type TraceExportOptions } from './tracing.ts';
import { hasPart, VARIABLES, type ChoiceOf, type Command } from './variables.ts';

export type QueueConfig =
  | { readonly kind: 'sqlite'; readonly path: string }
  | {
      readonly kind: 'pubsub';
      readonly project: string;
      readonly topic: string;
      readonly subscription: string | undefined;
    };

/** For how long what is stored of a recording can be neither removed nor replaced, by anybody. */
export interface LockConfig {
  readonly days: number;
  readonly mode: ChoiceOf<'LOCK_MODE'>;
}

export type ArchiveConfig =
  | {
      readonly kind: 'folder';
      readonly path: string;
      /** Those that have not ended; asked for at each use. */
      readonly linkKeys: readonly string[];
      readonly linkLifetimeS: number;
    }
  | {
      readonly kind: 'bucket';
      readonly bucket: string;
      readonly prefix: string;
      readonly apiEndpoint: string | undefined;
      /** Where signed links point to, `https://host`; undefined for Cloud Storage itself, which has the bucket in the path. */
      readonly linkHost: string | undefined;
      /** undefined where nothing is locked. */
      readonly lock: LockConfig | undefined;
    };

export interface Config {
  readonly host: string;
  readonly port: number;
  /** Where figures and reasons are told without a key; undefined where nowhere. */
  readonly metrics: { readonly host: string; readonly port: number } | undefined;
  /** Undefined where it is the address that the service listens on: with PORT=0 nobody knows it before. */
  readonly publicUrl: string | undefined;
  readonly genesys: GenesysConfig;
  /** Undefined where the way out is direct. */
  readonly proxies: Proxies | undefined;
  readonly queue: QueueConfig;
  readonly archive: ArchiveConfig;
  readonly certificate: CertificateConfig;
  readonly archiveOriginal: boolean;
  readonly archiveOnListen: boolean;
  readonly keepDetails: ChoiceOf<'KEEP_DETAILS'>;
  /** Who is told of what happens; undefined where nobody is. */
  readonly notify: { readonly url: string; readonly keys: readonly Key[] } | undefined;
  /** What of keys comes from a file changes with it: they are asked for at each use. */
  readonly webhook: { readonly required: boolean; readonly secrets: readonly Key[]; readonly tokens: readonly Key[] };
  readonly api: { readonly required: boolean; readonly keys: readonly Key[]; readonly perSecond: number };
  /** To the console. */
  readonly access: AccessConfig;
  readonly push: { readonly audience: string; readonly serviceAccount: string } | undefined;
  readonly transcodeSlots: number;
  readonly transcodeQueue: number;
  readonly encoderCage: ChoiceOf<'ENCODER_CAGE'>;
  readonly linkLifetimeS: number;
  /** As browsers write them, or `*`. */
  readonly linkOrigins: readonly string[];
  /** What channels 0 and 1 are called. */
  readonly channelNames: readonly [string, string];
  /** Proxies in front whose X-Forwarded-For is believed. */
  readonly trustedProxies: number;
  readonly maxDurationS: number;
  /** Whether what no event told of is looked for by the service itself. */
  readonly reconcile: ChoiceOf<'RECONCILE'>;
  /** Which of several tasks a command is; the only one by default. */
  readonly task: { readonly index: number; readonly count: number; readonly attempt: number };
  readonly logLevel: ChoiceOf<'LOG_LEVEL'>;
  /** Project of Google Cloud that log lines' traces belong to. */
  readonly project: string | undefined;
  /** undefined where no traces are sent. */
  readonly tracing: TraceExportOptions | undefined;
  /** No line of the log may hold one; a file that changes adds to them. */
  readonly secrets: ReadonlySet<string>;
  readonly secretFiles: readonly SecretFile[];
  /** Our own keys, by variable, also of parts that this command does not have. */
  readonly keyLists: readonly KeyList[];
}

/** A task beyond the last one would have no day, and call that complete. */
function readTask(read: Reader): Config['task'] {
  const [index, count] = [read.count('CLOUD_RUN_TASK_INDEX'), read.count('CLOUD_RUN_TASK_COUNT')];
  if (index >= count)
    read.problem(
      'CLOUD_RUN_TASK_INDEX',
      `expected 0 to ${String(count - 1)}, since CLOUD_RUN_TASK_COUNT is ${String(count)}`,
    );
  return { index, count, attempt: read.count('CLOUD_RUN_TASK_ATTEMPT') };
}

/** @throws ConfigProblems with every problem at once */
export function readConfig(env: Environment, command: Command): Config {
  const read = new Reader(env);
  const host = readHost(read, 'HOST');
  const access: Access = { command, isLoopback: isLoopback(host) };
  const transcodeSlots = read.count('TRANSCODE_SLOTS', availableParallelism());
  const linkLifetimeS = read.count('LINK_LIFETIME_S');
  const config: Config = {
    host,
    port: read.count('PORT'),
    metrics: readMetrics(read),
    publicUrl: read.url('PUBLIC_URL'),
    genesys: readGenesys(read, hasPart(command, 'genesys')),
    proxies: readProxies(read),
    queue: readQueue(read, command),
    archive: readArchive(read, linkLifetimeS),
    certificate: readCertificate(read),
    archiveOriginal: read.isOn('ARCHIVE_ORIGINAL'),
    archiveOnListen: read.isOn('ARCHIVE_ON_LISTEN'),
    keepDetails: read.choice('KEEP_DETAILS'),
    notify: readNotify(read, command),
    webhook: readWebhook(read, access),
    api: readApi(read, access),
    access: readConsole(read, { command, host }),
    push: readPush(read),
    transcodeSlots,
    transcodeQueue: read.count('TRANSCODE_QUEUE', 2 * transcodeSlots),
    encoderCage: read.choice('ENCODER_CAGE'),
    linkLifetimeS,
    linkOrigins: readOrigins(read),
    channelNames: readChannelNames(read),
    trustedProxies: read.count('TRUSTED_PROXIES'),
    maxDurationS: read.count('MAX_DURATION_S'),
    reconcile: read.choice('RECONCILE'),
    task: readTask(read),
    logLevel: read.choice('LOG_LEVEL'),
    project: read.isSet('GOOGLE_CLOUD_PROJECT') ? read.text('GOOGLE_CLOUD_PROJECT') : undefined,
    tracing: readTracing(read),
    secrets: read.secrets.texts,
    secretFiles: read.secrets.files,
    keyLists: read.secrets.lists,
  };
  read.finish();
  return deepFreeze(config);
}

function readQueue(read: Reader, command: Command): QueueConfig {
  const queue = parseQueueUrl(read.text('QUEUE_URL'));
  if (queue === undefined) {
    read.problem('QUEUE_URL', 'expected sqlite:PATH or pubsub://PROJECT/TOPIC?subscription=NAME');
    return { kind: 'sqlite', path: '' };
  }
  if (queue.kind === 'sqlite') checkPath(queue.path, { name: 'QUEUE_URL', scheme: 'sqlite' }, read);
  const pulls = queue.kind === 'sqlite' || queue.subscription !== undefined;
  if (hasPart(command, 'push') && !pulls && !read.isSet('PUSH_AUDIENCE'))
    read.problem(
      'QUEUE_URL',
      'a worker needs ?subscription=NAME at its end, or PUSH_AUDIENCE and PUSH_SERVICE_ACCOUNT to be pushed to',
    );
  return queue;
}

function parseQueueUrl(text: string): QueueConfig | undefined {
  const path = /^sqlite:(.+)$/.exec(text)?.[1];
  if (path !== undefined) return { kind: 'sqlite', path };
  const [, project, topic, subscription] =
    /^pubsub:\/\/([^/?#]+)\/([^/?#]+)(?:\?subscription=([^&#]+))?$/.exec(text) ?? [];
  if (project === undefined || topic === undefined) return undefined;
  return { kind: 'pubsub', project, topic, subscription };
}

/** `~` is a home to a shell alone, and what stands behind two slashes a host to other programs: here both would be folders, elsewhere than meant. */
function checkPath(
  path: string,
  { name, scheme }: { readonly name: 'QUEUE_URL' | 'ARCHIVE_URL'; readonly scheme: string },
  read: Reader,
): void {
  if (/^~(\/|$)/.test(path))
    read.problem(name, `nobody reads ~ here: write the path in full, such as ${scheme}:/srv/…`);
  if (/^\/\/[^/]/.test(path))
    read.problem(
      name,
      `two slashes are one too many or one too few: ${scheme}:PATH is looked for where this is started, ${scheme}:/PATH from the root`,
    );
}

function readArchive(read: Reader, linkLifetimeS: number): ArchiveConfig {
  const value = read.text('ARCHIVE_URL');
  const keys = read.secrets.keys('LINK_KEYS');
  const linkKeys = (): readonly Key[] => keysInUse(keys.now, linkLifetimeS * 1000, Date.now());
  const apiEndpoint = read.url('GCS_API_ENDPOINT');
  const linkHost = readLinkHost(read);
  const lock = readLock(read);
  const path = /^file:(.+)$/s.exec(value)?.[1];
  if (path !== undefined) {
    checkPath(path, { name: 'ARCHIVE_URL', scheme: 'file' }, read);
    if (lock !== undefined)
      read.problem('LOCK_DAYS', 'a folder cannot lock what lies in it: unset it, or let ARCHIVE_URL name a bucket');
    return folderAt(path, linkKeys, linkLifetimeS);
  }
  const match = /^gs:\/\/([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:\/([^?#]*))?$/.exec(value);
  if (match?.[1] !== undefined) {
    const prefix = (match[2] ?? '').replace(/^\/+|\/+$/g, '');
    return { kind: 'bucket', bucket: match[1], prefix, apiEndpoint, linkHost, lock };
  }
  read.problem('ARCHIVE_URL', 'expected file:PATH or gs://BUCKET/PREFIX');
  return folderAt('', linkKeys, linkLifetimeS);
}

function folderAt(path: string, linkKeys: () => readonly Key[], linkLifetimeS: number): ArchiveConfig {
  return {
    kind: 'folder',
    path,
    linkLifetimeS,
    get linkKeys() {
      return linkKeys().map((key) => key.secret);
    },
  };
}

function readLock(read: Reader): LockConfig | undefined {
  const mode = read.choice('LOCK_MODE');
  if (read.isSet('LOCK_DAYS')) return { days: read.count('LOCK_DAYS'), mode };
  if (mode === 'locked') read.problem('LOCK_MODE', 'there is nothing to lock: set LOCK_DAYS as well');
  return undefined;
}

const STORAGE_HOST: string = VARIABLES.GCS_LINK_HOST.default;

/** A name alone, by RFC 1123 §2.1: the signature covers it, and TLS certificates are for names. */
function readLinkHost(read: Reader): string | undefined {
  const host = read.text('GCS_LINK_HOST').toLowerCase();
  const labels = host.split('.');
  const isName = labels.length > 1 && host.length <= 253 && labels.every((label) => LABEL.test(label));
  if (!isName || /^\d+$/.test(labels.at(-1) ?? '')) {
    read.problem('GCS_LINK_HOST', 'expected a host name alone, such as media.example.com');
  }
  return host === STORAGE_HOST ? undefined : `https://${host}`;
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** Who asks, and whether only this machine can. */
interface Access {
  readonly command: Command;
  readonly isLoopback: boolean;
}

function readWebhook(read: Reader, { command, isLoopback }: Access): Config['webhook'] {
  const required = read.choice('WEBHOOK_AUTH') === 'required';
  const secrets = read.secrets.keys('WEBHOOK_SECRETS');
  const tokens = read.secrets.keys('WEBHOOK_TOKENS');
  const webhook = {
    required,
    get secrets() {
      return secrets.now;
    },
    get tokens() {
      return tokens.now;
    },
  };
  if (!hasPart(command, 'webhook')) return webhook;
  if (!required && !isLoopback)
    read.problem('WEBHOOK_AUTH', '"none" is only allowed with a loopback HOST; set WEBHOOK_SECRETS or WEBHOOK_TOKENS');
  if (required && secrets.now.length + tokens.now.length === 0)
    read.problem(
      'WEBHOOK_SECRETS or WEBHOOK_TOKENS',
      'set at least one (openssl rand -base64 32), or WEBHOOK_AUTH=none on a loopback HOST',
    );
  return webhook;
}

function readApi(read: Reader, { command, isLoopback }: Access): Config['api'] {
  const required = read.choice('API_AUTH') === 'required';
  const keys = read.secrets.keys('API_KEYS');
  if (!required && !isLoopback && hasPart(command, 'api'))
    read.problem('API_AUTH', '"none" is only allowed with a loopback HOST; set API_KEYS');
  // The console has ways of its own to sign in.
  if (required && keys.now.length === 0 && hasPart(command, 'playback') && command !== 'console')
    read.problem('API_KEYS', 'set at least one (openssl rand -base64 32), or API_AUTH=none on a loopback HOST');
  return {
    required,
    perSecond: read.count('API_RATE'),
    get keys() {
      return keys.now;
    },
  };
}

function readPush(read: Reader): Config['push'] {
  const audience = read.text('PUSH_AUDIENCE');
  const serviceAccount = read.text('PUSH_SERVICE_ACCOUNT');
  if (audience === '' && serviceAccount === '') return undefined;
  if (audience === '')
    read.problem(
      'PUSH_AUDIENCE',
      'set it to the audience of the push subscription (usually the URL of this service); without it any Google token would pass',
    );
  if (serviceAccount === '')
    read.problem('PUSH_SERVICE_ACCOUNT', 'set it to the email of the service account that pushes');
  return { audience, serviceAccount };
}

/** As it is written: a slash at its end means something to some receivers. */
function readNotify(read: Reader, command: Command): Config['notify'] {
  const text = read.text('NOTIFY_URL');
  const keys = read.secrets.keys('NOTIFY_SECRET');
  if (text === '') return undefined;
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '' || url.hash !== '')
    read.problem('NOTIFY_URL', 'expected an http or https URL without user, query or fragment');
  if (hasPart(command, 'notices') && keys.now.length === 0)
    read.problem('NOTIFY_SECRET', 'set it where NOTIFY_URL is set (openssl rand -base64 32): receivers know us by it');
  return {
    url: url?.href ?? '',
    get keys() {
      return keys.now;
    },
  };
}

function readOrigins(read: Reader): readonly string[] {
  return read.list('LINK_ORIGINS').map((entry, index) => {
    if (entry === '*') return entry;
    const url = entry.includes('*') ? null : URL.parse(entry);
    // Whatever stands behind the host is no part of an origin; whoever writes it expects it to count.
    if (url !== null && /^https?:$/.test(url.protocol) && `${url.origin}/` === url.href) return url.origin;
    read.problem(
      'LINK_ORIGINS',
      `entry ${String(index + 1)} is neither * nor an origin such as https://player.example`,
    );
    return entry;
  });
}

function readChannelNames(read: Reader): readonly [string, string] {
  const [first, second, ...more] = read.list('CHANNEL_NAMES');
  if (first !== undefined && second !== undefined && more.length === 0) return [first, second];
  read.problem('CHANNEL_NAMES', 'expected two names, comma-separated, such as customer,agent');
  return ['customer', 'agent'];
}

function readMetrics(read: Reader): Config['metrics'] {
  const host = readHost(read, 'METRICS_HOST');
  const port = read.count('METRICS_PORT', 0);
  return read.isSet('METRICS_PORT') ? { host, port } : undefined;
}

/** An address (IPv6 also in brackets, as URLs have it) or a name alone. */
function readHost(read: Reader, name: 'HOST' | 'METRICS_HOST'): string {
  const host = read
    .text(name)
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();
  const isName = host.split('.').every((label) => LABEL.test(label)) && !/^[\d.]+$/.test(host);
  if (isIP(host) === 0 && !isName)
    read.problem(name, 'expected an address or a host name alone; the port has a variable of its own');
  return host;
}

function deepFreeze<T extends object>(value: T): T {
  for (const child of Object.values(value)) if (typeof child === 'object' && child !== null) deepFreeze(child);
  return Object.freeze(value);
}
