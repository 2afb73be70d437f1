/** Runs one deployable: configuration, start, signals, crashes, and an end within 8 s (invariant 10). */
import { readConfig, type Config } from '../config/config.ts';
import { ConfigProblems } from '../config/reader.ts';
import type { TraceExportOptions } from '../config/tracing.ts';
import type { Command } from '../config/variables.ts';
import { Failure, systemCode } from '../failure.ts';
import { takeDoor, type Door } from '../http/door.ts';
import { FirstOfMinute } from '../telemetry/first-of-minute.ts';
import { createLog, type Log } from '../telemetry/log.ts';
import { createMetrics, type Metrics } from '../telemetry/metrics.ts';
import { alignProxyVariables } from '../outbound.ts';
import { readVersion } from '../version.ts';
import { untilAborted } from '../waiting.ts';
import { sayConfiguration, saySlips, watchSecrets } from './say.ts';

/** What every deployable is given. */
export interface Context {
  readonly config: Config;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly version: string;
  /** Aborts when the service is to stop: take no more work, give back what is held. */
  readonly stopping: AbortSignal;
  /** Taken before anything is opened, so that everything can know its URL. */
  readonly door: Door;
  /** Where METRICS_PORT names an address of its own for figures and reasons. */
  readonly metricsDoor: Door | undefined;
  /** What was opened, closed in reverse order at the end. */
  readonly opened: AsyncDisposableStack;
}

/** Starts and returns once it serves; `done` settles when its background work has ended. */
export type Deployable = (context: Context) => Promise<Running>;

export interface Running {
  readonly done: Promise<void>;
  notReady(reason: string): void;
}

const METRICS_ADDRESS = { host: 'METRICS_HOST', port: 'METRICS_PORT' } as const;

/** Cloud Run sends SIGKILL 10 s after SIGTERM; whatever hangs must not keep us longer than this. */
const EXIT_WITHIN_MS = 7_500;

export async function runService(command: Command, deployable: Deployable, env: NodeJS.ProcessEnv): Promise<void> {
  const config = configOrExit(env, command);
  if (config === undefined) return;
  outliveLog();
  const log = createLog({ level: config.logLevel, secrets: config.secrets, project: config.project });
  sayConfiguration(config, command, log);
  saySlips(env, log);
  alignProxyVariables(env, config.proxies);
  const stop = new AbortController();
  let running: Running | undefined;
  const crash = (error: unknown): void => {
    running?.notReady('The service is stopping after an unexpected error.');
    log.error('An unhandled error ended the service.', { error });
    exitAfterFlush(1);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopOrExit(signal, stop, log));

  try {
    const context = {
      config,
      log,
      metrics: createMetrics(),
      version: readVersion(),
      stopping: stop.signal,
      door: await takeDoor(config),
      metricsDoor: config.metrics && (await takeDoor({ ...config.metrics, variables: METRICS_ADDRESS })),
      opened: new AsyncDisposableStack(),
    };
    context.opened.use(watchSecrets(config, command, log));
    // Opened first, closed last: what ends with the service is traced as well.
    if (config.tracing !== undefined) await openTraceExport(config.tracing, command, context);
    running = await startUnlessStopped(deployable, context);
    if (running !== undefined) {
      log.info('Service started.', { command, url: context.door.url, version: context.version });
      await running.done;
    }
    await context.opened.disposeAsync();
    log.info('Service stopped.', { command });
    exitAfterFlush(0);
  } catch (error) {
    const failure = Failure.from(error);
    log.error(failure.code === 'internal' ? 'Service failed.' : failure.message, { command, error });
    exitAfterFlush(1);
  }
}

/** undefined where the service is to stop before it has started: nothing has begun that would have to be ended well. */
async function startUnlessStopped(deployable: Deployable, context: Context): Promise<Running | undefined> {
  const starting = deployable(context);
  starting.catch(() => undefined);
  return Promise.race([starting, untilAborted(context.stopping).then(() => undefined)]);
}

/** undefined once everything that is wrong with the environment was printed. */
function configOrExit(env: NodeJS.ProcessEnv, command: Command): Config | undefined {
  try {
    return readConfig(env, command);
  } catch (error) {
    if (!(error instanceof ConfigProblems)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
    return undefined;
  }
}

/** Lines that nobody takes (a full disk, a reader that has gone) are lost, and that is said on stderr: no reason to stop archiving. */
function outliveLog(): void {
  const lost = new FirstOfMinute();
  process.stdout.on('error', (error) => {
    const code = systemCode(error) ?? 'unknown error';
    if (lost.take(code) === undefined) return;
    process.stderr.write(`Lines of the log are lost, since stdout cannot be written (${code}); the service goes on.\n`);
  });
  process.stderr.on('error', () => undefined);
}

async function openTraceExport(settings: TraceExportOptions, command: Command, context: Context): Promise<void> {
  const { log, version, opened } = context;
  const onTrouble = (trouble: Failure): void => log.warn(trouble.message, { error: trouble });
  const { startTraceExport } = await import('../telemetry/trace-export.ts');
  opened.use(await startTraceExport(settings, { command, version, onTrouble }));
}

function stopOrExit(signal: string, stop: AbortController, log: Log): void {
  if (stop.signal.aborted) {
    log.warn('A second signal ended the service at once.', { signal });
    exitAfterFlush(1);
    return;
  }
  log.info('Service is stopping.', { signal });
  stop.abort(new Failure('stopped', 'The service is stopping.'));
  setTimeout(() => {
    log.error('The service did not stop in time and was ended.', {});
    exitAfterFlush(1);
  }, EXIT_WITHIN_MS).unref();
}

/** process.exit drops what stdout has not written yet; an empty write calls back behind it. */
function exitAfterFlush(code: number): void {
  process.exitCode = code;
  setTimeout(() => process.exit(code), 500).unref();
  process.stdout.write('', () => process.exit(code));
}
