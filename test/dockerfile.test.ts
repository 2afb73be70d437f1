/** What can be known of the Dockerfile without Docker: its rules, and that its commands do what they should. */
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, matchesGlob } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { freePort } from './support/free-port.ts';
import { VARIABLES } from '../src/config/variables.ts';
import { encodeArguments, type EncoderInput } from '../src/media/encoder/arguments.ts';
import type { MediaKind } from '../src/media/sniff.ts';
import { ALLOCATOR, NODE_FLAGS } from './support/service/service.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');

/** https://cyclonedx.org/docs/1.5/json/, the part that is looked at. */
interface Bom {
  readonly bomFormat: string;
  readonly metadata: { readonly component: { readonly name: string } };
  readonly components: readonly { readonly group?: string; readonly name: string }[];
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
}

interface Instruction {
  readonly name: string;
  readonly rest: string;
}

const stages = stagesOf(read('Dockerfile'));
const last = stages.at(-1) ?? [];
const final = [...stageNamed('frame'), ...last];

suite('Dockerfile', () => {
  test('every stage comes from the same slim image of the Node the service needs, or from another stage', () => {
    const [, needed = ''] = />=(\d+)/.exec(nodeNeeded()) ?? [];
    const [base = ''] = read('Dockerfile').match(/(?<=^ARG NODE_IMAGE=).*$/m) ?? [];
    assert.match(base, new RegExp(`^node:${needed}-trixie-slim$`));
    const names = stages.flatMap((stage) => / AS ([\w-]+)$/.exec(stage[0]?.rest ?? '')?.[1] ?? []);
    for (const [from] of stages)
      assert.ok(['${NODE_IMAGE}', ...names].includes(from?.rest.replace(/ AS .*/, '') ?? ''), from?.rest);
  });

  test('its own ffmpeg has the decoders, demuxers, encoders, the muxer and the protocol that the service names, and no others', () => {
    const decoders = valuesOf('-codec_whitelist').flatMap((names) => names.split(','));
    const own = decoders.filter((name) => !OF_OTHER_LIBRARIES.includes(name));
    assert.deepEqual(built('decoder'), own.map((name) => CONFIGURED_AS[name] ?? name).toSorted());
    assert.deepEqual(
      built('demuxer'),
      valuesOf('-f').filter((name) => name !== 'webm'),
    );
    assert.deepEqual(
      built('encoder'),
      ['-c:a', '-c:v'].flatMap(valuesOf).map((name) => name.replace('-', '_')),
    );
    assert.deepEqual([built('muxer'), built('protocol')], [['webm'], ['pipe']]);
  });

  test('its own ffmpeg has the filters that the service names, those that ffmpeg puts in by itself, and no others', () => {
    const graphs = ['-af', '-vf', '-filter_complex'].flatMap(valuesOf);
    const named = graphs.flatMap((graph) =>
      [...graph.replaceAll(/'[^']*'/g, '').matchAll(/(?<=^|[\],;])[a-z]+/g)].map(([name]) => name),
    );
    assert.ok(named.includes('amix') && named.includes('amultiply') && named.includes('aeval'), named.join());
    assert.deepEqual(built('filter'), [...new Set([...named, ...PUT_IN])].toSorted());
  });

  test('the final stage runs as a numeric user that is not root', () => {
    assert.match(only('USER'), /^[1-9]\d*:[1-9]\d*$/);
    const [user = ''] = only('USER').split(':');
    assert.ok(all('RUN').some((run) => run.includes(`install -d -o ${user} -g ${user} ${only('VOLUME')}`)));
  });

  test('an init reaps, the service serves unless told otherwise, and stops on SIGTERM', () => {
    assert.deepEqual(JSON.parse(only('ENTRYPOINT')), ['tini', '--', 'dist/cli.js']);
    assert.deepEqual(JSON.parse(only('CMD')), ['serve']);
    assert.equal(only('STOPSIGNAL'), 'SIGTERM');
  });

  test('how node is started stands in the first line of the command, and nowhere else', () => {
    const allocator = Object.entries(ALLOCATOR).map(([name, value]) => `${name}=${value}`);
    const [firstLine] = read('src/cli.ts').split('\n');
    assert.equal(firstLine, ['#!/usr/bin/env -S', ...allocator, 'node', ...NODE_FLAGS].join(' '));
    for (const file of ['Dockerfile', 'package.json', 'compose.yaml', '.ci/setup.mjs'])
      for (const word of [...Object.keys(ALLOCATOR), ...NODE_FLAGS]) assert.ok(!read(file).includes(word), file);
  });

  test('it has every program that a service looks for, each from a package that is named or built', () => {
    // bwrap, tini, and prlimit and setpriv.
    assert.deepEqual(installedIn(stageNamed('frame')), ['bubblewrap', 'tini', 'util-linux']);
    assert.deepEqual(installedIn(stageNamed('debian')), ['ffmpeg']);
    // The libraries of which the building stage has the headers.
    const libraries = ['libdav1d7', 'libopus0', 'libvpx9', 'zlib1g'];
    assert.deepEqual(installedIn(last), libraries);
    for (const library of libraries)
      assert.ok(installedIn(stageNamed('ffmpeg')).includes(`${library.replace(/\d$/, '')}-dev`), library);
  });

  test('the image with Debian’s ffmpeg is the other one but for that', () => {
    const [copied, ...rest] = last.filter(isNotItsFfmpeg);
    assert.equal(copied?.rest, '--from=ffmpeg /opt/ffmpeg/bin/ffmpeg /usr/local/bin/');
    assert.deepEqual(rest, stageNamed('debian').filter(isNotItsFfmpeg));
    assert.equal(last[0]?.rest, 'frame');
  });

  test('it installs production dependencies only, and nothing that is merely recommended', () => {
    const [copied] = all('COPY').filter((copy) => copy.includes('node_modules'));
    const [, stage = ''] = /--from=(\w+)/.exec(copied ?? '') ?? [];
    assert.match(stageNamed(stage).find(({ name }) => name === 'RUN')?.rest ?? '', /npm ci --omit=dev/);
    for (const stage of [stageNamed('frame'), stageNamed('debian'), last])
      for (const { rest } of stage.filter(({ rest }) => rest.includes('apt-get install')))
        assert.match(rest, /--no-install-recommends[\s\S]*rm -rf \/var\/lib\/apt\/lists/);
  });

  test('nothing comes from a URL, and everything that is copied is there and sent to the builder', () => {
    const instructions = stages.flat();
    assert.equal(instructions.filter(({ name }) => name === 'ADD').length, 0);
    const copies = instructions.filter(({ name, rest }) => name === 'COPY' && !rest.startsWith('--from'));
    const sources = copies.flatMap(({ rest }) => rest.split(/\s+/).slice(0, -1));
    assert.deepEqual(sources.toSorted(), [
      '.ci/browser.mjs',
      '.ci/sbom.mjs',
      '.npmrc',
      'LICENSE',
      'LICENSE',
      'package-lock.json',
      'package.json',
      'package.json',
      'package.json',
      'src',
      'tsconfig.json',
    ]);
    const mounted = instructions.flatMap(({ rest }) => [...rest.matchAll(/--mount=type=bind,source=([^,]+)/g)]);
    for (const source of [...sources, ...mounted.map(([, source = '']) => source)]) {
      assert.ok(existsSync(join(ROOT, source)), `${source} exists`);
      assert.ok(!isIgnored(source), `${source} is sent`);
    }
  });

  test('what is private, generated or large is not sent to the builder', () => {
    for (const name of ['.git', 'node_modules', 'var', '.env', 'dist', 'test', 'terraform'])
      assert.ok(isIgnored(name), name);
    const sent = readdirSync(ROOT).filter((name) => !isIgnored(name));
    assert.ok(sent.length <= 6, sent.join(' '));
  });

  test('its environment is the configuration’s, without secrets, and it is labelled', () => {
    const names = [
      ...all('ENV')
        .join(' ')
        .matchAll(/(\w+)=/g),
    ].map(([, name = '']) => name);
    assert.deepEqual(
      names.filter((name) => !Object.hasOwn(VARIABLES, name)),
      ['NODE_ENV'],
    );
    assert.doesNotMatch(
      stages
        .flat()
        .map(({ name, rest }) => `${name} ${rest}`)
        .join('\n'),
      /\b(ARG|ENV)\b.*(SECRET|TOKEN|KEY)/,
    );
    for (const label of ['title', 'description', 'licenses', 'version', 'revision'])
      assert.ok(only('LABEL').includes(`org.opencontainers.image.${label}=`), label);
    assert.ok(read('Dockerfile').includes(`ARG VERSION=${packageJson().version}\n`));
  });

  test('the source imports nothing that the image does not have', () => {
    const known = Object.keys(packageJson().dependencies);
    const imports = sourceFiles().flatMap((file) => [...readFileSync(file, 'utf8').matchAll(IMPORT)]);
    const packages = new Set(imports.map(([, name = '']) => name));
    assert.ok(packages.has('express'));
    assert.deepEqual(
      [...packages].filter((name) => !known.includes(name)),
      [],
    );
  });
});

suite('Dockerfile, its commands without Docker', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'image-'));
    for (const name of [
      'src',
      'package.json',
      'package-lock.json',
      'tsconfig.json',
      '.npmrc',
      '.ci/sbom.mjs',
      '.ci/browser.mjs',
    ])
      await cp(join(ROOT, name), join(folder, name), { recursive: true });
    // Of its own, for what is kept beside the libraries.
    await mkdir(join(folder, 'node_modules'));
    for (const name of readdirSync(join(ROOT, 'node_modules')).filter((name) => name !== '.cache'))
      await symlink(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name));
    const runs = stages.flat().filter(({ name, rest }) => name === 'RUN' && rest === 'npm run build');
    assert.equal(runs.length, 1);
    const built = spawnSync('npm', ['run', 'build'], { cwd: folder, encoding: 'utf8' });
    assert.equal(built.status, 0, built.stdout + built.stderr);
  });

  after(() => rm(folder, { recursive: true, force: true }));

  test('the entry point starts each deployable by its name', () => {
    const { stdout, status } = spawnSync(join(folder, entryPoint()), ['--help'], { env: { PATH }, encoding: 'utf8' });
    assert.equal(status, 0);
    for (const command of ['serve', 'receiver', 'worker', 'playback', 'console'])
      assert.match(stdout, new RegExp(`^ {2}${command} `, 'm'));
  });

  test('beside it lies what it is made of: every production dependency, and none of the tests (CycloneDX)', () => {
    const bom: Bom = JSON.parse(readFileSync(join(folder, 'dist/sbom.cdx.json'), 'utf8'));
    const names = bom.components.map(({ group, name }) => (group === undefined ? name : `${group}/${name}`));
    assert.deepEqual([bom.bomFormat, bom.metadata.component.name], ['CycloneDX', 'genesys-recording-archiver']);
    const { packages }: Lock = JSON.parse(read('package-lock.json'));
    const locked = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);
    for (const [path] of locked) assert.ok(names.includes(path.replace(/.*node_modules\//, '')), path);
    for (const name of ['prettier', 'typescript', 'fast-check']) assert.ok(!names.includes(name), name);
  });

  test('a first start while the image is built proves ffmpeg and keeps what is compiled, for all later ones; without ffmpeg nothing is built', async () => {
    const starts = all('RUN').filter((run) => run.includes('first-start.mjs'));
    assert.equal(starts.length, 1);
    const [user] = only('USER').split(':');
    assert.match(starts[0] ?? '', new RegExp(`setpriv --reuid=${user} .* node /tmp/first-start.mjs &&`));
    const first = (PATH: string): number | null =>
      spawnSync(process.execPath, [join(ROOT, '.ci/first-start.mjs')], { cwd: folder, env: { PATH } }).status;
    assert.equal(first(PATH), 0);
    assert.ok(existsSync(join(folder, 'node_modules/.cache/ffmpeg.json')));
    const env = { PATH, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' };
    const { stderr } = spawnSync(join(folder, entryPoint()), ['serve'], { cwd: folder, env, encoding: 'utf8' });
    assert.match(stderr, /services\/serve\.js.* was accepted/);
    await mkdir(join(folder, 'only-node'));
    await symlink(process.execPath, join(folder, 'only-node/node'));
    assert.equal(first(join(folder, 'only-node')), 1);
  });

  test('the health check says healthy while the service runs and not after; nothing is written but under var/', async () => {
    const before = listing(folder);
    const port = await freePort();
    const env = {
      PATH,
      NODE_ENV: 'production',
      HOST: '127.0.0.1',
      PORT: String(port),
      WEBHOOK_TOKENS: 'a-webhook-token-of-ours',
    };
    const child = spawn(join(folder, entryPoint()), ['receiver'], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await lineOf(child, 'Service started.');
      assert.equal(await health(env), 0);
      const exit = once(child, 'exit');
      child.kill(onStop());
      assert.deepEqual(await exit, [0, null]);
    } finally {
      child.kill('SIGKILL');
    }
    assert.equal(await health(env), 1);
    assert.deepEqual(listing(folder), before);
  });

  async function health(env: NodeJS.ProcessEnv): Promise<unknown> {
    const [, command = ''] = /CMD (\[.*\])$/.exec(only('HEALTHCHECK')) ?? [];
    const [program, ...args]: string[] = JSON.parse(command);
    assert.equal(program, 'node');
    const [code]: unknown[] = await once(spawn(process.execPath, args, { env, cwd: folder, stdio: 'inherit' }), 'exit');
    return code;
  }
});

/** What the Dockerfile's ./configure enables. */
function built(kind: string): readonly string[] {
  const commands = stages.flat().filter(({ name, rest }) => name === 'RUN' && rest.includes('./configure'));
  const lists = commands.flatMap(({ rest }) => [...rest.matchAll(new RegExp(`--enable-${kind}=(\\S+)`, 'g'))]);
  return lists.flatMap(([, names = '']) => names.split(',')).toSorted();
}

/** What a flag is followed by in the command lines of all kinds of media, alone and as one of two files. */
function valuesOf(flag: string): readonly string[] {
  const orders = [...KINDS.map((kind) => [{ ...NOTHING_KNOWN, kind }]), ...SOUNDS.flatMap(inputsOf)];
  const values = orders.flatMap((media) => {
    const args = encodeArguments({ media, maxDurationMs: 1000 });
    return args.filter((_, at) => args[at - 1] === flag);
  });
  return [...new Set(values)].toSorted();
}

const KINDS: readonly MediaKind[] = ['ogg-opus', 'ogg-vorbis', 'ogg', 'wav', 'mp3', 'flac', 'aac-adts', 'mp4', 'webm'];

const NOTHING_KNOWN: EncoderInput = { kind: 'mp4', codec: undefined, channels: undefined, sampleRate: undefined };

/** By the channels of each track; undefined where nobody knows. */
const SOUNDS: readonly (readonly (number | undefined)[])[] = [[1], [2], [3], [undefined], [1, 2], [3, undefined, 1]];

function inputsOf(channels: readonly (number | undefined)[]): readonly (readonly EncoderInput[])[] {
  return [true, false].flatMap((isTimed) => {
    const sounds = channels.map((channels, stream) => ({
      stream,
      codec: 'opus',
      channels,
      isExact: !isTimed,
      ...(isTimed ? { levels: { stream: stream + 1, scaleDb: 6 } } : {}),
    }));
    const input = { ...NOTHING_KNOWN, contents: { sounds, pictures: [], isTimed, startS: 0 } };
    return [[input], [input, { ...input, zeroS: 1 }]];
  });
}

/** Allowed by the service, where an ffmpeg has them: what its own decoders of the same name do as well. */
const OF_OTHER_LIBRARIES: readonly string[] =
  'libgsm libgsm_ms libspeex libopencore_amrnb libopencore_amrwb libopus libvorbis libvpx libvpx-vp9 libaom-av1 av1'.split(
    ' ',
  );

const CONFIGURED_AS: Readonly<Record<string, string>> = {
  g722: 'adpcm_g722',
  g726: 'adpcm_g726',
  g726le: 'adpcm_g726le',
};

/** Between others (formats), at the ends (-t), and for pictures that are turned or cropped: fftools/ffmpeg_filter.c. */
const PUT_IN: readonly string[] =
  'anull aformat aresample atrim null format scale trim crop hflip rotate transpose vflip'.split(' ');

/** Of a package: neither relative nor Node's own. */
const IMPORT = /(?:^import '|\bfrom '|\bimport\(')(?!node:|\.)((?:@[\w-]+\/)?[\w.-]+)/gm;

/** Instructions by stage; what stands before the first FROM belongs to none. */
function stagesOf(dockerfile: string): readonly (readonly Instruction[])[] {
  const lines = dockerfile
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n');
  const stages: Instruction[][] = [];
  for (const line of lines.filter((line) => line.trim() !== '')) {
    const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
    assert.ok(name !== '', `not an instruction: ${line}`);
    if (name === 'FROM') stages.push([]);
    stages.at(-1)?.push({ name, rest });
  }
  return stages;
}

function all(name: string): readonly string[] {
  return final.filter((instruction) => instruction.name === name).map(({ rest }) => rest);
}

function stageNamed(name: string): readonly Instruction[] {
  return stages.find(([from]) => from?.rest.endsWith(` AS ${name}`)) ?? [];
}

function isNotItsFfmpeg({ name, rest }: Instruction): boolean {
  return name !== 'FROM' && !rest.includes('apt-get install');
}

function installedIn(stage: readonly Instruction[]): readonly string[] {
  const runs = stage.map(({ rest }) => rest);
  const [, packages = ''] =
    /apt-get install -y --no-install-recommends ([\w -]+?)\s*(?:&&|$)/m.exec(runs.join('\n')) ?? [];
  return packages.split(' ');
}

function only(name: string): string {
  const [first, ...more] = all(name);
  assert.ok(first !== undefined && more.length === 0, `one ${name}`);
  return first;
}

/** Behind the init; it says itself how Node is started. */
function entryPoint(): string {
  const [init, separator, program = '', ...args]: string[] = JSON.parse(only('ENTRYPOINT'));
  assert.deepEqual([init, separator, args], ['tini', '--', []]);
  return program;
}

/** With this Node in front, as the image has its own. */
const PATH = [dirname(process.execPath), process.env['PATH']].join(delimiter);

function onStop(): 'SIGTERM' {
  assert.equal(only('STOPSIGNAL'), 'SIGTERM');
  return 'SIGTERM';
}

/** The last line of .dockerignore that matches decides. */
function isIgnored(name: string): boolean {
  const lines = read('.dockerignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const last = lines.findLast((line) => line.replace('!', '') === '*' || matchesGlob(name, line.replace('!', '')));
  return last !== undefined && !last.startsWith('!');
}

function packageJson(): { version: string; engines: { node: string }; dependencies: Record<string, string> } {
  const value: ReturnType<typeof packageJson> = JSON.parse(read('package.json'));
  return value;
}

function nodeNeeded(): string {
  return packageJson().engines.node;
}

function sourceFiles(): readonly string[] {
  const folder = join(ROOT, 'src');
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

function listing(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !/^(var|node_modules)\b/.test(name))
    .toSorted();
}

async function lineOf(child: ChildProcess, words: string): Promise<void> {
  assert.ok(child.stdout !== null);
  for await (const line of createInterface({ input: child.stdout }))
    if (line.includes(words)) return child.stdout.resume() && undefined;
  throw new Error(`The service ended without saying "${words}".`);
}
