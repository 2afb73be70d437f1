/** Starts the prober against a service and hands back what it measured. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Rig } from './rig.ts';

/** Milliseconds, each request one. */
export interface Latencies {
  readonly webhook: readonly number[];
  readonly healthz: readonly number[];
  /** How late the prober woke up: what the machine adds, whatever the service does. */
  readonly timer: readonly number[];
}

export interface Prober {
  stop(): Promise<Latencies>;
}

export function startProber({ service, token }: Rig): Prober {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'prober.ts'), service.url, token], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  return {
    async stop() {
      child.stdin.end();
      const measured: unknown = JSON.parse(await text(child.stdout));
      const list = (name: string): readonly number[] => Object(measured)[name] ?? [];
      return { webhook: list('webhook'), healthz: list('healthz'), timer: list('timer') };
    },
  };
}
