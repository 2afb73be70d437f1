// Makes a fresh machine ready, then runs Node with the arguments given: `node .ci/setup.mjs [--for-tests] [--] FILE|OPTIONS…`.
// A file that says in its first line how it wants to be started is started so.
// Plain JavaScript for Node 20 and later: it runs before anything is installed. A second run finds everything in place.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const NODE_NEEDED = [24, 15];

/** Where Node keeps what it has compiled, types taken out: every test file and every service would do it all over again. */
const COMPILED = join(ROOT, 'node_modules', '.cache', 'compiled');

/** `required` is what nothing works without; the rest only `npm test` asks for, which skips visibly what it lacks. */
const PROGRAMS = [
  { name: 'ffmpeg', commands: ['ffmpeg'], apt: 'ffmpeg', brew: 'ffmpeg', required: true },
  { name: 'bubblewrap', commands: ['bwrap'], apt: 'bubblewrap', required: false },
  { name: 'Chromium', commands: ['chromium', 'chromium-browser', 'google-chrome'], apt: 'chromium', required: false },
];

/** A fresh machine often installs its own updates meanwhile: apt-get(8) waits for its turn, s. */
const PATIENT = ['-o', 'DPkg::Lock::Timeout=300'];

const args = process.argv.slice(2);
const isForTests = args[0] === '--for-tests';
if (isForTests) args.shift();
if (args[0] === '--') args.shift();

installDependencies();
installPrograms(PROGRAMS.filter(({ required }) => required || isForTests));
compileForBrowsers(findNode());
run(findNode(), args);

/** `npm ci` whenever the lockfile is not the one that was last installed. */
function installDependencies() {
  const stamp = join(ROOT, 'node_modules', '.installed');
  const wanted = createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say('Installing the dependencies (npm ci) …');
  const npm = process.env.npm_execpath;
  const command = npm === undefined ? ['npm', 'ci'] : [process.execPath, npm, 'ci'];
  const done = spawnSync(command[0], [...command.slice(1), '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
  });
  if (done.status !== 0) stop('npm ci failed; its output is above.');
  writeFileSync(stamp, wanted);
}

/** What runs in browsers, whenever it has changed. */
function compileForBrowsers(node) {
  const compile = join(ROOT, '.ci', 'browser.mjs');
  if (!existsSync(compile)) return;
  const done = spawnSync(node, [compile], { cwd: ROOT, encoding: 'utf8' });
  if (done.status !== 0)
    say(`The console's scripts could not be compiled; its pages work without them.\n${done.stderr}`);
}

/** This Node where it is new enough, else the one that the dev dependency `node` carries. */
function findNode() {
  if (isNewEnough(process.versions.node)) return process.execPath;
  const carried = join(ROOT, 'node_modules', 'node', 'bin', 'node');
  const version = spawnSync(carried, ['--version'], { encoding: 'utf8' }).stdout?.trim().slice(1);
  if (version !== undefined && isNewEnough(version)) return carried;
  return stop(
    `Node ${NODE_NEEDED.join('.')} or newer is needed; this is ${process.versions.node}. Install it and run the command again.`,
  );
}

function isNewEnough(version) {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > NODE_NEEDED[0] || (major === NODE_NEEDED[0] && minor >= NODE_NEEDED[1]);
}

function installPrograms(programs) {
  const lacking = () => programs.filter(({ commands }) => !commands.some(isOnPath));
  if (lacking().length === 0) return;
  if (isOnPath('apt-get')) withApt(lacking().map(({ apt }) => apt));
  else if (isOnPath('brew')) withBrew(lacking().flatMap(({ brew }) => brew ?? []));
  for (const { name, apt, brew, required } of lacking()) {
    if (required)
      stop(
        `${name} could not be installed. Install it yourself (apt-get install ${apt}, or brew install ${brew}) and run the command again.`,
      );
    say(`${name} could not be installed: what needs it will be skipped, visibly.`);
  }
}

function withApt(packages) {
  const sudo = process.getuid?.() === 0 ? [] : ['sudo'];
  const commands = [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', ...PATIENT, ...packages],
  ];
  say(`Installing ${packages.join(', ')} …`);
  if (sudo.length > 0) say(`As root, by sudo: ${commands.map((words) => `apt-get ${words.join(' ')}`).join('; ')}`);
  for (const words of commands) quietly([...sudo, 'apt-get', ...words]);
}

function withBrew(formulas) {
  if (formulas.length === 0) return;
  say(`Installing ${formulas.join(', ')} …`);
  quietly(['brew', 'install', ...formulas]);
}

function quietly([command, ...words]) {
  const done = spawnSync(command, words, {
    encoding: 'utf8',
    stdio: ['inherit', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  if (done.status !== 0) process.stderr.write(`${done.stdout ?? ''}${done.stderr ?? ''}`.slice(-2000));
}

function isOnPath(command) {
  return (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, command)));
}

/** Runs Node in this process's place: same terminal, same signals, same exit code. */
function run(node, words) {
  const { env, options } = startOf(words[0]);
  const child = spawn(node, [...options, ...words], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { NODE_COMPILE_CACHE: COMPILED, ...process.env, ...env },
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // A terminal sends Ctrl-C to the whole group: the child has it already.
    process.on(signal, () => (signal === 'SIGINT' && process.stdin.isTTY ? undefined : child.kill(signal)));
  }
  child.on('error', (error) => stop(`Node could not be started: ${error.message}`));
  child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)));
}

/** What `#!/usr/bin/env -S NAME=value … node --option …` asks for. */
function startOf(file) {
  if (file === undefined || !existsSync(join(ROOT, file))) return { env: {}, options: [] };
  const [line] = readFileSync(join(ROOT, file), 'utf8').split('\n');
  const [, settings = '', options = ''] = /^#!\/usr\/bin\/env -S (.*?) ?node(.*)$/.exec(line) ?? [];
  const words = (list) => list.split(' ').filter((word) => word !== '');
  return { env: Object.fromEntries(words(settings).map((setting) => setting.split('='))), options: words(options) };
}

function say(text) {
  process.stderr.write(`${text}\n`);
}

function stop(text) {
  say(text);
  process.exit(1);
}
