/** What divisions are called, as the last worker that asked was told: `status/divisions.json`, for pages that may not ask themselves. */
import { Fields, jsonIn } from '../fields.ts';
import type { Notes } from './notes.ts';

const NAME = 'status/divisions.json';

export interface KnownDivisions {
  /** ISO 8601, UTC. */
  readonly at: string;
  /** By id; none where Genesys does not tell. */
  readonly names: ReadonlyMap<string, string>;
}

export async function writeDivisions({ at, names }: KnownDivisions, notes: Notes, signal: AbortSignal): Promise<void> {
  await notes.replace(NAME, `${JSON.stringify({ version: 1, at, names: Object.fromEntries(names) })}\n`, signal);
}

/** undefined where nobody has asked yet, or another version has. */
export async function readDivisions(
  notes: Pick<Notes, 'read'>,
  signal: AbortSignal,
): Promise<KnownDivisions | undefined> {
  const fields = Fields.in(jsonIn(await notes.read(NAME, signal)));
  const [at, names] = [fields?.instant('at'), fields?.fields('names')];
  if (fields?.raw('version') !== 1 || at === undefined || names === undefined) return undefined;
  const pairs = names.names().flatMap((id): [string, string][] => {
    const name = names.text(id);
    return name === undefined ? [] : [[id, name]];
  });
  return { at: at.toISOString(), names: new Map(pairs) };
}
