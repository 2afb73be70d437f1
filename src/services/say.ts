/** A configuration → what its operator should hear of it before the first request, and whenever a file of secrets changes. */
import type { Config } from '../config/config.ts';
import type { Proxies } from '../config/proxies.ts';
import type { SecretChange } from '../config/secret-file.ts';
import { slipsIn } from '../config/slips.ts';
import type { Environment } from '../config/text.ts';
import { hasPart, VARIABLES, type Command } from '../config/variables.ts';
import { hasEnded } from '../key.ts';
import { isUnspecified } from '../loopback.ts';
import type { Log } from '../telemetry/log.ts';

export function sayConfiguration(config: Config, command: Command, log: Log): void {
  if (config.proxies !== undefined) sayProxies(config.proxies, log);
  sayKeys(config, command, log);
  const hasLinks = config.archive.kind === 'folder' && hasPart(command, 'playback');
  if (config.publicUrl === undefined && hasLinks && isUnspecified(config.host))
    log.warn('PUBLIC_URL is not set: links lead to this machine alone. Set it to how callers reach the service.', {
      host: config.host,
    });
}

/** No refusal: the environment may be shared with a program that means just that. */
export function saySlips(env: Environment, log: Log): void {
  for (const { name, meant } of slipsIn(env))
    log.warn('A variable of the environment is none of this program, and nearly one: rename it if that is meant.', {
      variable: name,
      meant,
    });
}

/** Takes over what files of secrets bring from now on, and says so; names and counts only. */
export function watchSecrets(config: Config, command: Command, log: Log): Disposable {
  const watching = new DisposableStack();
  const onChange = ({ name, problems }: SecretChange): void => {
    if (problems.length > 0)
      return log.warn('A file of secrets was not taken: what it held before goes on to be used.', { name, problems });
    log.info('A file of secrets was read again.', { name });
    sayKeys(config, command, log);
  };
  for (const file of config.secretFiles) watching.use(file.watch(onChange));
  return watching;
}

function sayKeys({ keyLists }: Config, command: Command, log: Log): void {
  const now = Date.now();
  const lists = keyLists.filter(({ name, keys }) => keys.now.length > 0 && hasPart(command, VARIABLES[name].part));
  if (lists.length === 0) return;
  const inUse = lists.map(({ name, keys }) => ({
    variable: name,
    count: keys.now.filter((key) => !hasEnded(key, now)).length,
    names: keys.now.filter((key) => !hasEnded(key, now)).map((key) => key.name),
    ended: keys.now.filter((key) => hasEnded(key, now)).map((key) => key.name),
  }));
  log[inUse.some(({ count }) => count === 0) ? 'warn' : 'info']('Keys are in use.', { keys: inUse });
}

function sayProxies({ https, http, noProxy }: Proxies, log: Log): void {
  const hosts = [https, http].map((url) => URL.parse(url)?.host);
  log.info('Requests leave through a proxy: it decides which addresses media may come from.', {
    httpsProxy: hosts[0],
    httpProxy: hosts[1],
    noProxy,
  });
}
