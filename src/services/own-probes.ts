/** A configuration → the doctor's questions that whoever runs with it may ask: Genesys by its own clients, and its own machine. */
import { readFileSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import type { Probe } from '../doctor/check.ts';
import { genesysProbes } from '../doctor/genesys-checks.ts';
import { type MachineNeeds, machineProbes } from '../doctor/machine-checks.ts';
import { Fields } from '../fields.ts';
import { GenesysInspection } from '../genesys/inspection.ts';
import type { Context } from './run.ts';

/** All of them. */
export function ownProbes(
  { config, opened }: Pick<Context, 'config' | 'opened'>,
  ffmpeg: MachineNeeds['ffmpeg'],
): readonly Probe[] {
  return [...probesOfGenesys(config, opened), ...probesOfMachine(config, ffmpeg)];
}

/** Its inspections are closed with `opened`. */
export function probesOfGenesys(
  { genesys, proxies }: Pick<Config, 'genesys' | 'proxies'>,
  opened: AsyncDisposableStack,
): readonly Probe[] {
  const inspections = genesys.clients.map((client) => {
    const inspection = new GenesysInspection(client, genesys, proxies);
    opened.defer(() => inspection.close());
    return inspection;
  });
  return genesysProbes(inspections);
}

export function probesOfMachine(
  config: Pick<Config, 'archive' | 'queue'>,
  ffmpeg: MachineNeeds['ffmpeg'],
): readonly Probe[] {
  return machineProbes({
    nodeVersion: process.version,
    oldestNode: oldestNode(),
    ffmpeg,
    places: growingPlaces(config),
  });
}

function growingPlaces({ archive, queue }: Pick<Config, 'archive' | 'queue'>): Readonly<Record<string, string>> {
  return {
    ...(archive.kind === 'folder' ? { archive: archive.path } : {}),
    ...(queue.kind === 'sqlite' ? { queue: queue.path } : {}),
  };
}

function oldestNode(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const engines = Fields.of(manifest, 'package.json').fields('engines');
  return /[\d.]+/.exec(engines?.text('node') ?? '')?.[0] ?? '0';
}
