/** Tries cages on this machine until the encoder works in one: the tightest first, and never a looser one for a mishap. */
import { Failure } from '../../failure.ts';
import { encodeArguments, type EncodePlan, limitsOf } from './arguments.ts';
import { type Cage, cageOf, type Layer, LAYER_NAMES, type Missing, openWays } from './cage.ts';
import { type CageTools, type Confinement, UNCONFINED } from './confine.ts';
import { endedWell, endingFailure } from './failure.ts';
import { type Encoder, startEncoder } from './process.ts';
import type { Media } from '../sniff.ts';

export interface CageNeeds {
  /** The encoder's, absolute and without links. */
  readonly path: string;
  readonly searchPath: string;
  readonly tools: CageTools;
  /** Why a layer cannot be here, whatever a trial says. */
  readonly obstacles: ReadonlyMap<Layer, string>;
  /** How long one trial may take; half a minute if absent. */
  readonly trialMs?: number;
}

export interface Caged {
  readonly confinement: Confinement;
  readonly cage: Cage;
}

/** @throws Failure `misconfigured` where the encoder does not work without a cage either; `busy` */
export async function findCage(needs: CageNeeds): Promise<Caged> {
  const { path, searchPath, tools, obstacles, trialMs = TRIAL_MS } = needs;
  const refused: TrialRefused[] = [];
  for (const layers of cagesOf(
    LAYER_NAMES.filter((layer) => !obstacles.has(layer)),
    tools,
  )) {
    const confinement = { layers, tools };
    const failure = await tryOut({ path, searchPath, confinement }, trialMs);
    if (failure === undefined) return { confinement, cage: cageOf(layers, missing(layers, obstacles, refused)) };
    // An encoder that never works would be tried out in each of forty cages.
    if (refused.length === 0) await requireWithout({ path, searchPath }, trialMs);
    refused.push({ layers, reason: lastWords(failure), isMishap: wasKilled(failure) });
  }
  return { confinement: UNCONFINED, cage: cageOf([], missing([], obstacles, refused)) };
}

interface TrialRefused extends Omit<Missing, 'layer'> {
  readonly layers: readonly Layer[];
}

async function requireWithout(encoder: Omit<Encoder, 'confinement'>, trialMs: number): Promise<void> {
  const failure = await tryOut({ ...encoder, confinement: UNCONFINED }, trialMs);
  if (failure === undefined) return;
  const what = `${encoder.path} cannot convert a moment of silence; install another build of ffmpeg.`;
  throw new Failure('misconfigured', what, { facts: failure.facts });
}

/** Every cage that can be built of these layers: those that close more come first, then those with more layers. */
export function cagesOf(layers: readonly Layer[], tools: CageTools): readonly (readonly Layer[])[] {
  const all = layers.reduce<readonly (readonly Layer[])[]>(
    (chosen, layer) => chosen.flatMap((before) => [[...before, layer], before]),
    [[]],
  );
  const looseness = (choice: readonly Layer[]): number => openWays(choice).length * 10 - choice.length;
  return all
    .filter((choice) => choice.length > 0 && canBe(choice, tools))
    .toSorted((a, b) => looseness(a) - looseness(b));
}

/** The tether gives up ids, and sees to it that bwrap dies with the service; an old setpriv leaves the filter to bwrap. */
function canBe(layers: readonly Layer[], { rights }: CageTools): boolean {
  const has = (layer: Layer): boolean => layers.includes(layer);
  if (has('seccomp') && rights === undefined && !has('namespaces')) return false;
  return has('tether') || !(has('nobody') || has('namespaces'));
}

/** Of layers that could be here the last refusal says most: everything looser than it was refused with them as well. */
function missing(
  layers: readonly Layer[],
  obstacles: ReadonlyMap<Layer, string>,
  refused: readonly TrialRefused[],
): readonly Missing[] {
  return LAYER_NAMES.filter((layer) => !layers.includes(layer)).map((layer) => {
    const refusal = refused.findLast((one) => one.layers.includes(layer));
    const reason = obstacles.get(layer) ?? refusal?.reason ?? 'it was not tried';
    return { layer, reason, ...(refusal?.isMishap === true ? { isMishap: true } : {}) };
  });
}

/** A trial that was killed, or that never ended, says nothing of the cage. */
const MOST_TRIALS = 5;

async function tryOut(encoder: Encoder, trialMs: number): Promise<Failure | undefined> {
  for (let trials = 1; ; trials += 1) {
    const failure = await trial(encoder, trialMs);
    if (failure?.code === 'busy') throw failure;
    if (failure === undefined || !wasKilled(failure) || trials === MOST_TRIALS) return failure;
  }
}

const wasKilled = ({ facts }: Failure): boolean => facts['signal'] === 'SIGKILL';

const TRIAL_MS = 30_000;

const SILENCE: Media = { kind: 'wav', codec: 'pcm', channels: 1, sampleRate: 8000 };

const TRIAL: EncodePlan = { media: [SILENCE], maxDurationMs: 1000 };

/** A tenth of a second, by the very arguments and limits of real work; killed where it takes too long. */
async function trial(encoder: Encoder, trialMs: number): Promise<Failure | undefined> {
  try {
    const child = await startEncoder(encoder, { args: encodeArguments(TRIAL), limits: limitsOf(TRIAL), inputs: 1 });
    const late = setTimeout(() => child.kill(), trialMs);
    child.inputs[0]?.end(silentWav(800));
    let sizeBytes = 0;
    for await (const chunk of child.output) sizeBytes += Buffer.byteLength(chunk);
    const ending = await child.ended;
    clearTimeout(late);
    if (endedWell(ending) && sizeBytes > 0) return undefined;
    return endingFailure(ending);
  } catch (error) {
    return Failure.from(error);
  }
}

/** What the tool that failed said, or what is known of its end. */
function lastWords({ facts, message }: Failure): string {
  const { stderr } = facts;
  const lines = typeof stderr === 'string' ? stderr.split('\n').filter((line) => line.trim() !== '') : [];
  return lines[0] ?? message;
}

function silentWav(samples: number): Buffer {
  const wav = Buffer.alloc(44 + samples * 2);
  wav.write('RIFF', 0, 'latin1');
  wav.writeUInt32LE(wav.length - 8, 4);
  wav.write('WAVEfmt ', 8, 'latin1');
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(8000, 24);
  wav.writeUInt32LE(16_000, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write('data', 36, 'latin1');
  wav.writeUInt32LE(samples * 2, 40);
  return wav;
}
