/** What a client's role lets it see, asked of Genesys only where something is amiss → whether what is not shown says anything at all. */
import { type DivisionGrant, divisionsWith } from '../genesys/grants.ts';
import type { Census } from '../genesys/census.ts';

/** An earlier look at the same day. */
export interface EarlierLook {
  readonly conversations: number;
  readonly divisions: readonly string[];
  /** Since when nothing is left to fetch of it, ISO 8601; undefined where that was not proven. */
  readonly provenAt?: string | undefined;
}

/** What one look was shown. */
export interface Shown {
  readonly conversations: number;
  readonly divisions: readonly string[];
  /** Of these, how many are not shown, or not whole. */
  readonly refused: number;
}

const VIEWS = {
  conversations: 'analytics:conversationDetail:view',
  recordings: 'recording:recording:view',
  screens: 'recording:screenRecording:view',
} as const;

type View = keyof typeof VIEWS;

/** What a finding, or a day, says that is not seen; and what mends it. */
export function mendingOfView(view: View, divisions: readonly string[]): string {
  const where = divisions.length === 0 ? 'the divisions that are recorded' : `division ${divisions.join(', ')}`;
  return `give the role of GENESYS_CLIENT_ID ${VIEWS[view]} for ${where}`;
}

/** Divisions of which the role shows conversations; `*` alone where it is all of them. */
export function divisionsInSight(grants: readonly DivisionGrant[]): readonly string[] {
  return divisionsWith(VIEWS.conversations, grants);
}

/** Of those that were in sight, the ones that are not any more. */
export function divisionsLost(before: readonly string[], now: readonly string[]): readonly string[] {
  return now.includes('*') ? [] : before.filter((division) => !now.includes(division));
}

export class Sight {
  readonly #census: Pick<Census, 'grants'>;
  #first: Promise<readonly DivisionGrant[] | undefined> | undefined;

  constructor(census: Pick<Census, 'grants'>) {
    this.#census = census;
  }

  /** Whether the role allows it in one of these divisions; true as well where Genesys does not say what the role allows. */
  async covers(view: View, divisions: readonly string[], signal: AbortSignal): Promise<boolean> {
    this.#first ??= this.#census.grants(signal);
    const grants = await this.#first;
    return grants === undefined || allows(grants, view, divisions);
  }

  /** Why this look is no witness against, or for, what an earlier one saw; undefined where it is one. */
  async hindrance(shown: Shown, earlier: EarlierLook | undefined, signal: AbortSignal): Promise<string | undefined> {
    const lost = await this.#lost(signal);
    if (lost !== undefined) return `a right was taken away while the day was looked at: ${lost}`;
    if (earlier === undefined) return undefined;
    const { provenAt } = earlier;
    if (provenAt !== undefined && shown.refused > 0)
      return `${countOf(shown.refused, 'conversation')} of it may not be looked at any more: ${mendingOfView('recordings', [])}; what was proven on ${provenAt} stays`;
    const fewer = earlier.conversations - shown.conversations;
    const gone = earlier.divisions.filter((division) => !shown.divisions.includes(division));
    if (fewer <= 0 && gone.length === 0) return undefined;
    const told = `${countOf(Math.max(fewer, 0), 'conversation')} of it that Genesys has shown before ${fewer === 1 ? 'is' : 'are'} not shown now`;
    const grants = await this.#census.grants(signal);
    const unseen = earlier.divisions.filter((one) => grants === undefined || !allows(grants, 'conversations', [one]));
    if (unseen.length > 0) return `${told}: ${mendingOfView('conversations', unseen)}`;
    if (provenAt !== undefined && fewer > 0) return `${told}; what was proven on ${provenAt} stays`;
    return undefined;
  }

  /** What the role allowed when it was first asked for, and does not now. */
  async #lost(signal: AbortSignal): Promise<string | undefined> {
    const first = await this.#first;
    if (first === undefined) return undefined;
    const now = (await this.#census.grants(signal)) ?? [];
    for (const view of ['conversations', 'recordings', 'screens'] as const) {
      const lost = divisionsWith(VIEWS[view], first).filter((division) => !allows(now, view, [division]));
      if (lost.length > 0) return mendingOfView(view, lost.includes('*') ? [] : lost);
    }
    return undefined;
  }
}

function allows(grants: readonly DivisionGrant[], view: View, divisions: readonly string[]): boolean {
  const seen = divisionsWith(VIEWS[view], grants);
  if (seen.includes('*')) return true;
  return divisions.length === 0 ? seen.length > 0 : divisions.some((division) => seen.includes(division));
}

function countOf(count: number, what: string): string {
  return `${String(count)} ${what}${count === 1 ? '' : 's'}`;
}
