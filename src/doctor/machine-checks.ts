/** This machine → what of Node, ffmpeg, its cage, disks and files is not as the service needs it. */
import { statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Cage } from '../media/encoder/cage.ts';
import { isLoose, WAYS } from '../media/encoder/cage.ts';
import { broken, type Opinion, type Probe, well, worthALook } from './check.ts';

export interface MachineNeeds {
  readonly nodeVersion: string;
  /** The oldest Node that will do, such as `24.15`. */
  readonly oldestNode: string;
  /** Version and cage. @throws Failure naming what is missing */
  readonly ffmpeg: () => Promise<{ readonly version: string; readonly cage: Cage }>;
  /** Files and folders that grow, by what they are. */
  readonly places: Readonly<Record<string, string>>;
  /** Bytes free where the path lies; the path may be to come yet. */
  readonly freeBytes?: (path: string) => Promise<number>;
}

const machine = { area: 'machine' } as const;
const GIB = 1024 ** 3;
const FAIL_BELOW_BYTES = GIB;
const WARN_BELOW_BYTES = 10 * GIB;

export function machineProbes(needs: MachineNeeds): readonly Probe[] {
  const { nodeVersion, oldestNode, ffmpeg, places, freeBytes = freeBytesAt } = needs;
  let cage: Cage | undefined;
  return [
    { ...machine, name: 'node', look: async () => judgeNode(nodeVersion, oldestNode) },
    {
      ...machine,
      name: 'ffmpeg',
      look: async () => {
        const found = await ffmpeg();
        cage = found.cage;
        return well(`${found.version}, with all encoders that are needed`);
      },
    },
    { ...machine, name: 'cage', after: ['ffmpeg'], look: async () => judgeCage(cage) },
    ...Object.entries(places).map(([about, path]) => ({
      ...machine,
      name: 'disk',
      about,
      look: async () => judgeDisk(await freeBytes(path)),
    })),
  ];
}

function judgeNode(version: string, oldest: string): Opinion {
  const [[major = 0, minor = 0], [oldMajor = 0, oldMinor = 0]] = [versionParts(version), versionParts(oldest)];
  if (major > oldMajor || (major === oldMajor && minor >= oldMinor)) return well(`Node ${version}`);
  return broken(`Node ${version}`, `Install Node ${oldest} or newer.`);
}

function versionParts(version: string): readonly number[] {
  return version.split('.').map((part) => Number(part.replaceAll(/\D/g, '')));
}

function judgeCage(cage: Cage | undefined): Opinion {
  if (cage === undefined || !isLoose(cage)) return well('encoders reach nothing but their media');
  const ways = cage.open.map((way) => WAYS[way]).join('; ');
  const found = ways === '' ? 'a layer of the cage was lost at this start' : `a taken-over encoder could reach ${ways}`;
  const how = cage.missing.map(({ layer, reason }) => `${layer}: ${reason}`).join('; ');
  return worthALook(found, `Install bubblewrap, or util-linux 2.41 or newer, and allow it to do its work (${how}).`);
}

function judgeDisk(freeBytes: number): Opinion {
  const found = `${(freeBytes / GIB).toFixed(1)} GiB free`;
  if (freeBytes < FAIL_BELOW_BYTES) return broken(found, 'Free space now: nothing more can be stored.');
  if (freeBytes < WARN_BELOW_BYTES) return worthALook(found, 'Free space, or move it to a larger disk.');
  return well(found);
}

async function freeBytesAt(path: string): Promise<number> {
  for (let place = resolve(path); ; place = dirname(place)) {
    const found = await statfs(place).catch((thrown: unknown) => {
      if (place === dirname(place)) throw thrown;
    });
    if (found !== undefined) return found.bavail * found.bsize;
  }
}
