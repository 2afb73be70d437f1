/** A cage → what a taken-over encoder reached from inside it: Perl in ffmpeg's place, and everything it might want around it. */
import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type Layer, LAYER_NAMES } from '../../../src/media/encoder/cage.ts';
import { type EncoderProcess, startEncoder } from '../../../src/media/encoder/process.ts';
import { findProgram, type CageSurroundings, surroundingsOf } from '../../../src/media/encoder/tools.ts';
import { cagesOf } from '../../../src/media/encoder/trial.ts';

const ATTEMPTS = readFileSync(join(import.meta.dirname, 'escape.pl'), 'utf8');

/** Numbers of the system calls that Perl has no function for: x64, arm64. */
const CALLS: Readonly<Record<string, readonly [number, number]>> = {
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  prlimit64: [302, 261],
  prctl: [157, 167],
  setsid: [112, 157],
  unshare: [272, 97],
  fcntl: [72, 25],
  sched_setaffinity: [203, 122],
  io_uring_setup: [425, 425],
  pidfd_open: [434, 434],
};

export interface Escape {
  /** By name: whether it came through, and what the system said. */
  readonly attempts: ReadonlyMap<string, { readonly came: boolean; readonly why: string }>;
  /** Names of those that came through. */
  readonly came: ReadonlySet<string>;
  /** Connections and datagrams that arrived. */
  readonly arrived: number;
}

export interface EscapeScene extends AsyncDisposable {
  readonly surroundings: CageSurroundings;
  /** Those that the tools are there for, and that the surroundings allow. */
  layers(): Promise<readonly Layer[]>;
  attempt(layers: readonly Layer[]): Promise<Escape>;
}

/** A program that is no script and can call anything; undefined where there is none. */
export const PERL = await findProgram('perl', process.env['PATH'] ?? '');

const LIMITS = { memoryBytes: 1024 ** 3, cpuS: 60 };

/** What the service has around it: listeners, files that anybody may read and write, and processes of its own and of others. */
export async function openEscapeScene(perl: string): Promise<EscapeScene> {
  const searchPath = process.env['PATH'] ?? '';
  const surroundings = await surroundingsOf(perl, searchPath);
  const folder = await mkdtemp(join(tmpdir(), 'archiver-escape-'));
  await chmod(folder, 0o777);
  const files = { key: 'link.key', key2: 'second.key', key3: 'third.key', queue: 'queue.db' };
  const paths = Object.entries(files).map(([name, file]) => [name, join(folder, file)] as const);
  const sockets = { unix: join(folder, 'socket'), abstract: `archiver-escape-${String(process.pid)}` };
  let arrived = 0;
  const servers = await Promise.all(
    [0, sockets.unix, `\0${sockets.abstract}`].map((at) => listening(at, () => (arrived += 1))),
  );
  const datagrams = await receiving(() => (arrived += 1));
  const service = spawn('sleep', ['600'], { stdio: 'ignore', env: { SECRET: 'of the service' } });

  const start = (layers: readonly Layer[], args: readonly string[]): Promise<EncoderProcess> =>
    startEncoder(
      { path: perl, searchPath, confinement: { layers, tools: surroundings.tools } },
      { args, limits: LIMITS, inputs: 1 },
    );

  return {
    surroundings,
    async layers() {
      const there = LAYER_NAMES.filter((layer) => !surroundings.obstacles.has(layer));
      const works = await Promise.all(
        there.map(async (layer) => {
          const cage = cagesOf(there, surroundings.tools).findLast((layers) => layers.includes(layer)) ?? [];
          const child = await start(cage, ['-']);
          child.inputs[0]?.end('exit 0');
          child.output.resume();
          return (await child.ended).code === 0;
        }),
      );
      return there.filter((_, index) => works[index]);
    },
    async attempt(layers) {
      await Promise.all(paths.map(([, path]) => writable(path)));
      await chmod(sockets.unix, 0o777);
      const other = spawn('sleep', ['600'], { stdio: 'ignore', ...(layers.includes('nobody') ? NOBODY : {}) });
      const known = {
        ...Object.fromEntries(
          Object.entries(CALLS).map(([name, numbers]) => [name, numbers[arch() === 'arm64' ? 1 : 0]]),
        ),
        ...Object.fromEntries(paths),
        ...sockets,
        folder,
        tcp: portOf(servers[0]?.address()),
        udp: datagrams.address().port,
        service: service.pid,
        other: other.pid,
      };
      const args = ['-', ...Object.entries(known).map(([name, value]) => `${name}=${String(value)}`)];
      arrived = 0;
      try {
        const encoder = await start(layers, args);
        encoder.inputs[0]?.end(ATTEMPTS);
        const said = await text(encoder.output);
        const { code, signal, stderr } = await encoder.ended;
        if (code !== 0) throw new Error(`${layers.join()} ended with ${String(code ?? signal)}: ${said}${stderr}`);
        return escapeIn(said, arrived);
      } finally {
        other.kill('SIGKILL');
      }
    },
    async [Symbol.asyncDispose]() {
      service.kill('SIGKILL');
      for (const server of servers) server.close();
      datagrams.close();
      await rm(folder, { recursive: true });
    },
  };
}

const NOBODY = { uid: 65_534, gid: 65_534 };

function escapeIn(said: string, arrived: number): Escape {
  const lines = said.split('\n').filter((line) => line !== '');
  const attempts = new Map(
    lines.map((line) => {
      const [name = '', came = '', ...why] = line.split(' ');
      return [name, { came: came === 'yes', why: why.join(' ') }];
    }),
  );
  const came = new Set([...attempts].filter(([, attempt]) => attempt.came).map(([name]) => name));
  return { attempts, came, arrived };
}

async function writable(path: string): Promise<void> {
  await writeFile(path, 'a secret that is longer than nothing');
  await chmod(path, 0o666);
}

async function listening(at: number | string, arrives: () => void): Promise<Server> {
  const server = createServer((socket) => {
    arrives();
    socket.on('error', () => undefined).destroy();
  });
  if (typeof at === 'number') server.listen(at, '127.0.0.1');
  else server.listen(at);
  await once(server, 'listening');
  return server;
}

async function receiving(arrives: () => void): Promise<Socket> {
  const socket = createSocket('udp4', arrives);
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

function portOf(address: ReturnType<Server['address']> | undefined): number {
  if (typeof address !== 'object' || address === null) throw new Error('It does not listen on a port.');
  return address.port;
}
