// Fails on an advisory about what the service is made of, and says so where nobody could be asked: `node .ci/audit.mjs`.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** A registry that answers at all does so within seconds. */
const WITHIN_MS = 60_000;

const npm = process.env.npm_execpath;
const [program, ...args] = npm === undefined ? ['npm'] : [process.execPath, npm];
const options = ['audit', '--omit=dev', '--json', '--fetch-retries=1', '--fetch-timeout=20000'];
const { stdout, error } = spawnSync(program, [...args, ...options], {
  cwd: ROOT,
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'ignore'],
  timeout: WITHIN_MS,
  killSignal: 'SIGKILL',
});
const report = parse(stdout);
const found = report?.vulnerabilities;

if (found === undefined) {
  const why = error?.code === 'ETIMEDOUT' ? `no answer within ${WITHIN_MS / 1000} s` : (report?.message ?? 'no answer');
  console.log(`SKIPPED: the production dependencies were not held against advisories: ${why}.`);
} else if (Object.keys(found).length === 0) {
  console.log('No advisory about a production dependency.');
} else {
  for (const { name, severity, range, via, fixAvailable } of Object.values(found)) {
    const titles = via.map((one) => (typeof one === 'string' ? `by way of ${one}` : `${one.title} ${one.url}`));
    console.log(
      `${name} ${range}: ${severity}. ${titles.join('; ')}. ${fixAvailable ? 'A fixed version is there.' : 'No fixed version yet.'}`,
    );
  }
  process.exitCode = 1;
}

/** Undefined where it is no JSON: npm was ended, or is not there. */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
