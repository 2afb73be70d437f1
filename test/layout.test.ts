/** Who may import whom, and what no file may hold: the shape of src/, written as data with a reason for each rule. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const SRC = fileURLToPath(new URL('../src/', import.meta.url));

interface Part {
  /** Files, or folders with a slash at their end, below src/. The first part that names a file has it. */
  readonly has: readonly string[];
  /** What it may import besides itself, in the same words; `x/*` are the files of a folder without its subfolders. */
  readonly may: readonly string[];
  readonly why: string;
}

/** What everybody above them may import: they know nothing of who does. */
const GROUND = [
  'bounds.ts',
  'clock.ts',
  'failure.ts',
  'fields.ts',
  'instant.ts',
  'durable.ts',
  'waiting.ts',
  'within-size.ts',
  'recording.ts',
  'memory.ts',
  'loopback.ts',
  'key.ts',
  'nearest.ts',
  'telemetry/first-of-minute.ts',
  'media-file.ts',
  'levels.ts',
  'merkle.ts',
  'statement.ts',
];

const PARTS: readonly Part[] = [
  { has: ['failure.ts'], may: [], why: 'everything speaks of failures, so failures know nothing' },
  { has: ['bounds.ts'], may: [], why: 'figures in one place, read by whoever grants something' },
  { has: ['clock.ts'], may: [], why: 'time passes the same way for everybody, or stands still for a test' },
  { has: ['version.ts'], may: ['fields.ts'], why: 'one line of package.json' },
  { has: ['instant.ts'], may: [], why: 'days and moments are text and numbers, nothing more' },
  { has: ['fields.ts'], may: ['failure.ts', 'instant.ts'], why: 'what is untrusted is read the same way everywhere' },
  { has: ['durable.ts'], may: ['failure.ts'], why: 'a folder is made durable the same way for queue and archive' },
  { has: ['waiting.ts'], may: ['failure.ts'], why: 'waiting and its bounds are the same wherever somebody waits' },
  { has: ['within-size.ts'], may: [], why: 'nobody holds more of what others send than he is ready for' },
  { has: ['recording.ts'], may: ['failure.ts'], why: 'a value and its names; refusing an id is all it can fail at' },
  { has: ['nearest.ts'], may: [], why: 'a slip in a word is the same slip in a flag and in a region' },
  { has: ['merkle.ts'], may: [], why: 'a tree of hashes is arithmetic, whatever its leaves are' },
  { has: ['statement.ts'], may: ['fields.ts'], why: 'seals and certificates are signed and checked the same way' },
  {
    has: ['media-file.ts'],
    may: [],
    why: 'who fetches bytes and who makes WebM of them agree on this and know nothing else of each other',
  },
  {
    has: ['levels.ts'],
    may: [],
    why: 'who reads levels, who stores them and who draws them, in a browser as well, agree on their bytes alone',
  },
  {
    has: ['loopback.ts'],
    may: [],
    why: 'what counts as this machine is the same for who listens and for who is answered',
  },
  {
    has: ['delivery/schedule.ts'],
    may: ['failure.ts'],
    why: 'when something is tried again is a table over its age, whoever asks',
  },
  {
    has: ['telemetry/first-of-minute.ts'],
    may: [],
    why: 'what anybody can cause is told the same number of times, whoever tells it',
  },
  { has: ['key.ts'], may: ['instant.ts'], why: 'a key means the same to who reads it and to who checks it' },
  { has: ['memory.ts'], may: [], why: 'memory is kept and given back the same way wherever bytes pass' },
  { has: ['content-coding.ts'], may: [], why: 'a header means the same whoever was spoken to' },
  {
    has: ['network-failure.ts'],
    may: ['failure.ts'],
    why: 'an error of the network means the same whoever was spoken to',
  },
  {
    has: ['credentials.ts'],
    may: [],
    why: 'what is missing of credentials is the same for every cloud service that wants them',
  },
  {
    has: ['outbound.ts', 'relay.ts'],
    may: ['config/'],
    why: 'whoever speaks to another host takes the same way out, through the same proxies',
  },
  { has: ['config/'], may: [], why: 'an environment in, data out: testable as a table' },
  {
    has: ['telemetry/metrics.ts', 'telemetry/prom-client.d.ts'],
    may: [],
    why: 'figures mean nothing to the place that counts them',
  },
  {
    has: ['telemetry/log.ts'],
    may: ['failure.ts'],
    why: 'it prints what a failure knows, and takes secrets out of everything else',
  },
  { has: ['telemetry/trace.ts'], may: [], why: 'a step is named in one place, whether spans are recorded or not' },
  {
    has: ['telemetry/spans.ts'],
    may: ['failure.ts', 'telemetry/trace.ts'],
    why: 'a span is begun and ended in one place',
  },
  {
    has: ['telemetry/trace-export.ts'],
    may: ['failure.ts', 'config/', 'telemetry/spans.ts', 'telemetry/trace.ts'],
    why: 'where spans go is the business of who runs the service; whoever makes one does not know',
  },
  {
    has: ['queue/open-queue.ts'],
    may: ['queue/', 'config/'],
    why: 'the one place that chooses a queue; the queues themselves know no environment',
  },
  {
    has: ['archive/open-archive.ts'],
    may: ['archive/', 'config/'],
    why: 'the one place that chooses an archive; the archives themselves know no environment',
  },
  {
    has: ['queue/sqlite/'],
    may: ['queue/*'],
    why: 'the embedded queue; of Pub/Sub it knows nothing',
  },
  {
    has: ['queue/pubsub/'],
    may: ['queue/*', 'credentials.ts'],
    why: 'Pub/Sub behind the same contract; of SQLite it knows nothing',
  },
  {
    has: ['queue/'],
    may: [],
    why: 'a queue moves messages and knows nothing of what is done about them',
  },
  {
    has: ['archive/bucket/'],
    may: ['archive/*', 'config/', 'network-failure.ts', 'outbound.ts', 'content-coding.ts', 'credentials.ts'],
    why: 'the bucket is one archive of several and never looks at the other',
  },
  {
    has: ['archive/folder/'],
    may: ['archive/*'],
    why: 'the folder is one archive of several and never looks at the other',
  },
  {
    has: ['archive/'],
    may: [],
    why: 'an archive stores bytes and manifests and knows nothing of where they come from',
  },
  {
    has: ['download/'],
    may: ['config/', 'network-failure.ts', 'outbound.ts', 'content-coding.ts'],
    why: 'fetching is hosts, ranges and patience; who named the URL is not its business',
  },
  {
    has: ['genesys/open-genesys.ts', 'genesys/open-census.ts', 'genesys/inquiry.ts'],
    may: ['genesys/', 'download/', 'config/'],
    why: 'the one place that puts asking and fetching together',
  },
  {
    has: ['genesys/'],
    may: ['config/', 'download/', 'network-failure.ts', 'outbound.ts', 'content-coding.ts'],
    why: 'Genesys Cloud can be spoken to without a queue, an archive or an encoder',
  },
  {
    has: ['media/webm/'],
    may: ['media/*'],
    why: 'WebM is read and written without knowing where packets come from',
  },
  {
    has: ['media/ogg/'],
    may: ['media/*', 'media/source/'],
    why: 'Ogg and Opus are read and joined without knowing where packets go',
  },
  {
    has: ['media/mp4/'],
    may: ['media/*', 'media/source/'],
    why: 'MP4 is read and rearranged without knowing who decodes it',
  },
  {
    has: ['media/source/'],
    may: ['media/*', 'media/webm/'],
    why: 'a walk through a file looks at its bytes, and knows neither where they come from nor who decodes them',
  },
  {
    has: ['media/levels/'],
    may: ['media/*'],
    why: 'packets are listened to as they pass, without knowing where they come from or go',
  },
  {
    has: ['media/encoder/'],
    may: ['media/*', 'media/webm/', 'media/source/'],
    why: 'the encoder is a process that takes bytes and gives WebM; why it is asked is not its business',
  },
  {
    has: ['media/'],
    may: ['media/', 'archive/manifest.ts'],
    why: 'bytes in, WebM out; it knows the shape of a download and of a source in the manifest, and nobody behind them',
  },
  {
    has: ['originals.ts'],
    may: ['telemetry/metrics.ts', 'media/plan.ts', 'media/sniff.ts', 'archive/archive.ts'],
    why: 'bytes pass on their way from a download to a making; what is made of them is not its business',
  },
  {
    has: ['make-manifest.ts'],
    may: ['media/make-webm.ts', 'genesys/genesys.ts', 'archive/archive.ts', 'archive/manifest.ts'],
    why: 'facts of three sides in one statement, and no work',
  },
  {
    has: ['pipeline.ts'],
    may: [
      'originals.ts',
      'make-manifest.ts',
      'telemetry/metrics.ts',
      'media/',
      'genesys/genesys.ts',
      'archive/archive.ts',
      'archive/manifest.ts',
    ],
    why: 'the way of one recording runs over contracts: any Genesys, any archive',
  },
  {
    has: ['delivery/lay-levels.ts'],
    may: ['media/levels/', 'media/webm/', 'queue/queue.ts', 'archive/archive.ts', 'archive/manifest.ts'],
    why: 'a WebM that lies in any archive is listened to, without knowing how it was made',
  },
  {
    has: ['delivery/waiting-list.ts'],
    may: ['failure.ts'],
    why: 'it remembers reasons and times, and knows neither queue nor archive',
  },
  {
    has: ['delivery/resolve.ts'],
    may: ['delivery/schedule.ts', 'queue/queue.ts', 'archive/archive.ts', 'genesys/genesys.ts'],
    why: 'a conversation becomes recordings over contracts: any queue, any archive, any Genesys',
  },
  {
    has: ['delivery/settle-failure.ts'],
    may: [
      'delivery/follow-ups.ts',
      'delivery/schedule.ts',
      'delivery/waiting-list.ts',
      'overview.ts',
      'queue/open-queue.ts',
      'telemetry/metrics.ts',
      'telemetry/log.ts',
      'queue/queue.ts',
      'archive/archive.ts',
    ],
    why: 'what a failure means is in it already: here it is only scheduled and recorded',
  },
  {
    has: ['delivery/follow-ups.ts'],
    may: [
      'delivery/schedule.ts',
      'queue/queue.ts',
      'archive/details.ts',
      'archive/index-row.ts',
      'archive/manifest.ts',
      'archive/notes.ts',
    ],
    why: 'what follows from an end is messages and lines; nothing of it is done here',
  },
  {
    has: ['delivery/keep-details.ts'],
    may: [
      'delivery/schedule.ts',
      'telemetry/log.ts',
      'queue/queue.ts',
      'genesys/conversations.ts',
      'archive/archive.ts',
      'archive/details.ts',
      'archive/index-row.ts',
      'archive/manifest.ts',
      'archive/page.ts',
    ],
    why: 'what is known of a conversation goes from one contract to another, beside its recordings, when the schedule says',
  },
  {
    has: ['delivery/notify.ts'],
    may: ['config/proxies.ts', 'telemetry/log.ts', 'key.ts', 'network-failure.ts', 'outbound.ts', 'queue/queue.ts'],
    why: 'telling somebody is a message and a request; of recordings it knows their ids',
  },
  {
    has: ['delivery.ts'],
    may: [
      'delivery/follow-ups.ts',
      'delivery/resolve.ts',
      'delivery/settle-failure.ts',
      'delivery/waiting-list.ts',
      'delivery/schedule.ts',
      'telemetry/metrics.ts',
      'telemetry/log.ts',
      'telemetry/trace.ts',
      'pipeline.ts',
      'queue/queue.ts',
      'archive/archive.ts',
      'archive/manifest.ts',
      'genesys/genesys.ts',
    ],
    why: 'one message to its settlement, whichever queue brought it',
  },
  {
    has: ['search/'],
    may: ['archive/'],
    why: 'rows of the index in, pages out: it knows neither who asks nor how it is shown',
  },
  {
    has: ['days/day.ts'],
    may: ['days/day-troubles.ts', 'days/sight.ts', 'archive/archive.ts', 'archive/manifest.ts', 'genesys/census.ts'],
    why: 'a day is compared over contracts: any Genesys, any archive',
  },
  {
    has: ['days/sight.ts'],
    may: ['genesys/census.ts', 'genesys/grants.ts'],
    why: 'whether a client is shown all of a day is for Genesys to say, and for the look at the day to draw its conclusions from',
  },
  {
    has: ['days/index-days.ts'],
    may: ['days/day.ts', 'archive/', 'genesys/census.ts'],
    why: 'the index is made of what was found of a day, over the contract of any archive',
  },
  {
    has: ['days/proven-day.ts'],
    may: ['days/day.ts', 'archive/proofs.ts'],
    why: 'what a proof says is reported as it was established',
  },
  {
    has: ['days/prove-day.ts'],
    may: ['days/day.ts', 'days/sight.ts', 'days/proven-day.ts', 'days/index-days.ts', 'archive/', 'genesys/census.ts'],
    why: 'a day is proven the same way by a command and by the service at night',
  },
  {
    has: ['days/run-marks.ts'],
    may: ['archive/notes.ts', 'archive/place-time.ts'],
    why: 'what a killed run leaves behind means the same to whoever runs next',
  },
  {
    has: ['days/day-lists.ts'],
    may: ['genesys/census.ts'],
    why: 'what was listed of a day is remembered over the contract',
  },
  {
    has: ['days/day-troubles.ts'],
    may: [],
    why: 'of days in a row it knows that they failed, not what a day is',
  },
  {
    has: ['days/mend-days.ts'],
    may: [
      'days/day-troubles.ts',
      'days/prove-day.ts',
      'days/day-lists.ts',
      'days/run-marks.ts',
      'days/catch-up.ts',
      'days/day.ts',
      'archive/archive.ts',
      'queue/queue.ts',
      'genesys/census.ts',
    ],
    why: 'what is missing is fetched over contracts, for a command and for the service at night',
  },
  {
    has: ['survey/survey.ts'],
    may: ['archive/', 'days/day.ts'],
    why: 'what lies in an archive is compared with itself, over the contract: folder or bucket, no Genesys',
  },
  {
    has: ['retention/erasure.ts', 'retention/erasure-plan.ts', 'retention/holding.ts'],
    may: ['archive/', 'audit/audit.ts', 'retention/erasure.ts'],
    why: 'one recording goes, and is held, by the same steps whoever asks: a command, a schedule, a page',
  },
  {
    has: ['survey/seal-survey.ts'],
    may: ['archive/', 'audit/audit.ts', 'survey/survey.ts'],
    why: 'what was found is put on record the same way whoever looked; who signs it is given',
  },
  {
    has: ['survey/verify-archive.ts'],
    may: ['archive/', 'audit/audit.ts', 'survey/survey.ts', 'survey/seal-survey.ts'],
    why: 'an archive is verified in the same order by a command and by the service at night',
  },
  {
    has: ['pulse.ts'],
    may: ['archive/notes.ts', 'telemetry/metrics.ts'],
    why: 'what a worker did, from the figures that are counted anyway, for whoever asks',
  },
  {
    has: ['overview.ts'],
    may: ['archive/', 'queue/queue.ts', 'pulse.ts'],
    why: 'how an archive is doing, for whoever asks: a command, a route, a page',
  },
  {
    has: ['days/catch-up.ts'],
    may: ['queue/queue.ts'],
    why: 'work without a queue, through the handler that queues call',
  },
  {
    has: ['http/'],
    may: [
      'telemetry/metrics.ts',
      'telemetry/log.ts',
      'telemetry/trace.ts',
      'pipeline.ts',
      'queue/envelope.ts',
      'queue/queue.ts',
      'audit/audit.ts',
      'archive/archive.ts',
      'archive/manifest.ts',
      'overview.ts',
    ],
    why: 'HTTP is one way in; it reaches Genesys and the encoder through the pipeline only, and is told what it needs to know',
  },
  {
    has: ['console/who/open-door.ts'],
    may: ['console/', 'config/', 'http/witness.ts', 'telemetry/log.ts', 'outbound.ts'],
    why: 'the one place that chooses how people sign in; the ways themselves know no environment',
  },
  {
    has: ['console/'],
    may: [
      'config/console.ts',
      'http/',
      'audit/audit.ts',
      'archive/',
      'search/search.ts',
      'retention/erasure.ts',
      'retention/erasure-plan.ts',
      'retention/holding.ts',
      'levels.ts',
      'pipeline.ts',
      'queue/queue.ts',
      'overview.ts',
      'pulse.ts',
      'telemetry/metrics.ts',
      'telemetry/log.ts',
    ],
    why: 'pages for people over the contracts that routes for programs stand on; it opens nothing itself',
  },
  {
    has: ['services/'],
    may: [
      'console/',
      'config/',
      'version.ts',
      'audit/',
      'telemetry/metrics.ts',
      'telemetry/log.ts',
      'telemetry/trace-export.ts',
      'pulse.ts',
      'outbound.ts',
      'pipeline.ts',
      'delivery.ts',
      'delivery/follow-ups.ts',
      'delivery/keep-details.ts',
      'delivery/lay-levels.ts',
      'delivery/notify.ts',
      'delivery/waiting-list.ts',
      'overview.ts',
      'days/day.ts',
      'days/prove-day.ts',
      'days/sight.ts',
      'days/index-days.ts',
      'days/mend-days.ts',
      'survey/survey.ts',
      'survey/verify-archive.ts',
      'certificate/open-signer.ts',
      'http/',
      'queue/',
      'archive/',
      'genesys/',
      'media/',
      'search/',
      'doctor/',
    ],
    why: 'a service is the table of contents of one deployable: it puts everything together, and nobody imports it',
  },
  {
    has: ['audit/'],
    may: ['archive/notes.ts'],
    why: 'who did what is recorded the same way whoever asks, and knows nothing of what was done',
  },
  {
    has: ['doctor/'],
    may: [
      'overview.ts',
      'archive/archive.ts',
      'archive/bucket/inspection.ts',
      'genesys/grants.ts',
      'genesys/inspection.ts',
      'media/encoder/cage.ts',
      'queue/queue.ts',
      'queue/pubsub/library.ts',
    ],
    why: 'a doctor asks and judges, and is given whom to ask; who asks for it, a command or a worker beside its work, it does not know',
  },
  {
    has: ['certificate/'],
    may: ['archive/', 'audit/audit.ts', 'config/', 'console/html.ts', 'outbound.ts', 'version.ts'],
    why: 'what an archive can swear to, and who signs it; it fetches nothing from Genesys and changes nothing',
  },
  {
    has: ['export/'],
    may: ['archive/', 'audit/audit.ts', 'certificate/', 'console/html.ts'],
    why: 'what a case needs is read from the archive alone, on record, and goes into a folder',
  },
  {
    has: ['commands/'],
    may: [
      'config/',
      'archive/',
      'genesys/',
      'days/day.ts',
      'days/day-troubles.ts',
      'days/prove-day.ts',
      'days/proven-day.ts',
      'days/index-days.ts',
      'days/mend-days.ts',
      'survey/survey.ts',
      'survey/seal-survey.ts',
      'survey/verify-archive.ts',
      'certificate/',
      'export/',
      'days/catch-up.ts',
      'retention/erasure.ts',
      'retention/erasure-plan.ts',
      'retention/holding.ts',
      'search/sqlite-search.ts',
      'queue/sqlite/forget.ts',
      'doctor/',
      'media/encoder/check.ts',
      'queue/pubsub/inspection.ts',
      'audit/',
      'telemetry/log.ts',
      'telemetry/metrics.ts',
      'outbound.ts',
      'version.ts',
      'delivery.ts',
      'delivery/waiting-list.ts',
      'queue/queue.ts',
      'queue/open-queue.ts',
      'overview.ts',
      'services/studio.ts',
      'services/forget-beside.ts',
      'services/own-probes.ts',
      'delivery/waiting-list.ts',
    ],
    why: 'what ends by itself and reports what it found; the services know nothing of it',
  },
  { has: ['compiled.ts'], may: [], why: 'what it spares the rest is compiled only after it' },
  {
    has: ['cli.ts'],
    may: ['services/', 'commands/', 'compiled.ts'],
    why: 'a service or a command, and nothing of the other',
  },
];

interface Package {
  readonly name: RegExp;
  /** Where it may be imported; its types as well. */
  readonly only: RegExp;
  readonly why: string;
}

/** A package that is not here may not be imported at all. */
const PACKAGES: readonly Package[] = [
  {
    name: /^express$/,
    only: /^(http\/|console\/(console|visit|who\/[a-z]+)\.ts$)/,
    why: 'routes are the only thing that knows the framework',
  },
  {
    name: /^winston$/,
    only: /^telemetry\/log\.ts$/,
    why: 'everything else sees four functions, and redaction cannot be gone around',
  },
  { name: /^prom-client\//, only: /^telemetry\/metrics\.ts$/, why: 'the names of all figures stand in one file' },
  {
    name: /^undici$/,
    only: /^((genesys|download|archive\/bucket)\/|(outbound|relay|delivery\/notify|certificate\/kms)\.ts$)/,
    why: 'only these talk to other hosts, each behind its own rules for hosts and deadlines',
  },
  { name: /^@google-cloud\/storage$/, only: /^archive\/bucket\//, why: 'the bucket is one archive of several' },
  { name: /^@google-cloud\/pubsub$/, only: /^queue\/pubsub\//, why: 'Pub/Sub is one queue of several' },
  {
    name: /^google-auth-library$/,
    only: /^(archive\/bucket\/|http\/push|queue\/pubsub\/)[a-z-]*\.ts$/,
    why: 'credentials are asked for where Google is spoken to, and tokens checked where Google speaks to us',
  },
  {
    name: /^@opentelemetry\/api$/,
    only: /^(telemetry\/(spans|trace-export)|queue\/pubsub\/[a-z-]*)\.ts$/,
    why: 'tracing has one seam',
  },
  {
    name: /^@opentelemetry\/(sdk-trace|resources|exporter-trace-otlp-http)$/,
    only: /^telemetry\/trace-export\.ts$/,
    why: 'the SDK is loaded where a collector is named, and only then',
  },
  {
    name: /^node:sqlite$/,
    only: /^(queue\/sqlite\/|search\/|audit\/folder-lock\.ts$)/,
    why: 'SQL is the business of the embedded queue and of search; the audit borrows its lock',
  },
  {
    name: /^node:child_process$/,
    only: /^media\/encoder\//,
    why: 'the encoder is the only program ever started, and it is started confined',
  },
  {
    name: /^node:(https?|http2|tls)$/,
    only: /^(http|genesys|download|archive|console)\//,
    why: 'as with undici and express',
  },
  {
    name: /^node:net$/,
    only: /^(config\/[a-z-]+|loopback|http\/(server|connections)|download\/hosts|archive\/[a-z/-]+|queue\/[a-z/-]+)\.ts$/,
    why: 'sockets and addresses are handled where hosts are judged',
  },
  {
    name: /^jose$/,
    only: /^console\/who\//,
    why: 'sessions and assertions are opened where it is decided who somebody is',
  },
  { name: /^openid-client$/, only: /^console\/who\/oidc\.ts$/, why: 'as with jose' },
  { name: /^node:(vm|repl|inspector|cluster|worker_threads|dgram|wasi)$/, only: /^$/, why: 'nothing here needs them' },
  { name: /^node:/, only: /./, why: 'the rest of the standard library is nobody’s business' },
];

interface Forbidden {
  readonly what: string;
  /** In code without comments and texts. */
  readonly pattern: RegExp;
  readonly why: string;
}

const FORBIDDEN: readonly Forbidden[] = [
  { what: 'a default export', pattern: /^export default\b/m, why: 'one name for one thing, wherever it is imported' },
  { what: 'a barrel', pattern: /^export (\*|\{[^}]*\}) from\b/m, why: 'an import says where a thing lives' },
  { what: 'any', pattern: /[:<|&,(]\s*any\b\s*[\])>,;=|&[{]|\bas any\b/, why: 'unknown has to be looked at first' },
  { what: 'a non-null assertion', pattern: /[\w)\]]!(?=[.;,)\]])/, why: 'what may be absent is handled or reported' },
  {
    what: 'an enum or a namespace',
    pattern: /^(export )?(const )?(enum|namespace) \w/m,
    why: 'types are stripped, not compiled',
  },
  { what: 'console', pattern: /\bconsole\./, why: 'the log redacts, console does not' },
  {
    what: 'a compiler or linter told off',
    pattern: /@ts-(ignore|nocheck|expect-error)/,
    why: 'the checks are the reviewers',
  },
];

const NAMES: readonly Forbidden[] = [
  {
    what: 'a drawer',
    pattern: /(^|\/)(utils?|helpers?|common|shared|misc|types|index)\.ts$/,
    why: 'a file is named after what it exports',
  },
  { what: 'capitals or blanks', pattern: /[^a-z0-9./-]/, why: 'files are kebab-case' },
];

const FILES = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name !== 'README.md')
  .map((entry) => relative(SRC, join(entry.parentPath, entry.name)).split(sep).join('/'))
  // What runs in browsers is a program of its own, with its own tsconfig.json.
  .filter((file) => file.endsWith('.ts') || !file.startsWith('console/browser/'))
  .toSorted();

interface Source {
  readonly text: string;
  /** Without comments and without what stands between quotes. */
  readonly code: string;
  /** Packages as they are named, files relative to src/. */
  readonly imports: readonly string[];
}

const QUOTED = /'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g;
const EXPRESSION = /(?<=[=(,:[\s])\/(?![*/ ])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g;

const SOURCES: ReadonlyMap<string, Source> = new Map(FILES.map((file) => [file, readSource(file)]));

function readSource(file: string): Source {
  const text = readFileSync(join(SRC, file), 'utf8');
  const lines = text.replaceAll(/\/\*[^]*?\*\//g, '').replaceAll(/^\s*\/\/.*$|\s\/\/ .*$/gm, '');
  const statements = lines.matchAll(/^(?:import|export)\s(?:[^;'"]*?\sfrom\s)?'([^']+)'|\bimport\('([^']+)'\)/gm);
  const imports = [...statements].map(([, fixed, late]) => resolve(file, fixed ?? late ?? ''));
  return { text, code: lines.replaceAll(QUOTED, "''").replaceAll(EXPRESSION, '//'), imports };
}

function resolve(file: string, name: string): string {
  return name.startsWith('.') ? join(dirname(file), name).split(sep).join('/') : name;
}

function isPackage(name: string): boolean {
  return !FILES.includes(name) && !name.endsWith('.ts');
}

function isIn(file: string, places: readonly string[]): boolean {
  return places.some((place) => {
    if (place.endsWith('/*')) return dirname(file) === place.slice(0, -2);
    return place.endsWith('/') ? file.startsWith(place) : file === place;
  });
}

function partOf(file: string): number {
  return PARTS.findIndex((part) => isIn(file, part.has));
}

function importsOf(file: string): readonly string[] {
  return SOURCES.get(file)?.imports ?? [];
}

test('every file belongs to a part, and every part has files', () => {
  const homeless = FILES.filter((file) => !PARTS.some(({ has }) => isIn(file, has)));
  assert.deepEqual(homeless, [], 'say in PARTS what these may import');
  for (const { has } of PARTS)
    for (const place of has)
      assert.ok(
        FILES.some((file) => isIn(file, [place])),
        place,
      );
});

for (const [index, { has, may, why }] of PARTS.entries()) {
  test(`${has.join(', ')}: ${why}`, () => {
    const allowed = has.some((place) => GROUND.includes(place)) ? may : [...may, ...GROUND];
    const mine = FILES.filter((file) => partOf(file) === index);
    const wrong = mine.flatMap((file) =>
      importsOf(file)
        .filter((name) => !isPackage(name) && partOf(name) !== index && !isIn(name, allowed))
        .map((name) => `${file} imports ${name}`),
    );
    assert.deepEqual(wrong, []);
  });
}

for (const [index, { name: pattern, only, why }] of PACKAGES.entries()) {
  test(`${pattern.source} is imported in ${only.source} only: ${why}`, () => {
    const wrong = FILES.flatMap((file) =>
      importsOf(file)
        .filter((name) => isPackage(name) && PACKAGES.findIndex((each) => each.name.test(name)) === index)
        .filter(() => !only.test(file))
        .map((name) => `${file} imports ${name}`),
    );
    assert.deepEqual(wrong, []);
  });
}

test('no package is imported that the table does not name', () => {
  const names = new Set(FILES.flatMap((file) => importsOf(file)).filter(isPackage));
  assert.ok(names.has('express') && names.has('winston'), 'imports are found at all');
  assert.deepEqual(
    [...names].filter((name) => !PACKAGES.some((each) => each.name.test(name))),
    [],
  );
});

test('imports run in no circle', () => {
  const done = new Set<string>();
  const visit = (file: string, way: readonly string[]): void => {
    assert.ok(!way.includes(file), [...way.slice(way.indexOf(file)), file].join(' → '));
    if (done.has(file)) return;
    for (const name of importsOf(file)) if (!isPackage(name)) visit(name, [...way, file]);
    done.add(file);
  };
  for (const file of FILES) visit(file, []);
});

test('every import of a file names one that is there', () => {
  const names = FILES.flatMap((file) => importsOf(file).map((name) => [file, name] as const));
  const missing = names.filter(([, name]) => name.endsWith('.ts') && !FILES.includes(name));
  assert.deepEqual(missing, []);
});

for (const { what, pattern, why } of FORBIDDEN) {
  test(`no file holds ${what}: ${why}`, () => {
    const found = [...SOURCES].flatMap(([file, { code, text }]) => {
      const match = pattern.exec(what.startsWith('a compiler') ? text : code);
      return match === null ? [] : [`${file}: ${match[0].trim()}`];
    });
    assert.deepEqual(found, []);
  });
}

for (const { what, pattern, why } of NAMES) {
  test(`no file is named like ${what}: ${why}`, () => {
    assert.deepEqual(
      FILES.filter((file) => pattern.test(file)),
      [],
    );
  });
}

test('nothing is called a Manager, Service, Handler, Helper or Impl: such a name says nothing', () => {
  const found = [...SOURCES].flatMap(([file, { code }]) =>
    [...code.matchAll(/^(?:export )?(?:class|interface|type)\s+(\w*(?:Manager|Service|Handler|Helper|Impl))\b/gm)].map(
      (match) => `${file}: ${match[1] ?? ''}`,
    ),
  );
  assert.deepEqual(found, []);
});

test('every file opens with one sentence that says what it turns into what', () => {
  const silent = [...SOURCES].filter(([, { text }]) => !/^(#!.*\n)?\/\*\*(?: |\n \* )[A-Za-z`]/.test(text));
  assert.deepEqual(
    silent.map(([file]) => file),
    [],
  );
});

test('every room of src/ is in the table of src/README.md, and every room of the table is there', () => {
  const listed = [...readFileSync(join(SRC, 'README.md'), 'utf8').matchAll(/^\| \[(\w+)\/\]\(\1\/\)/gm)];
  const rooms = readdirSync(SRC, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.deepEqual(new Set(listed.map((match) => match[1])), new Set(rooms.map(({ name }) => name)));
});
