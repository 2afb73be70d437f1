/** A variable as people and tools write it → its text, its entries, its pairs. */

export type Environment = Readonly<Record<string, string | undefined>>;

/** Without the blanks around it, and without the quotes that `docker --env-file` and others leave around a value. */
export function unquoted(text: string): string {
  const trimmed = text.trim();
  const [, , inner] = /^(["'])((?:(?!\1).)*)\1$/s.exec(trimmed) ?? [];
  return inner === undefined ? trimmed : inner.trim();
}

export function isHalfQuoted(text: string): boolean {
  return /^["']|["']$/.test(text);
}

export const HALF_QUOTED = 'begins or ends with a quote that has no other: take it away';

/** Between commas or line breaks. */
export function entriesOf(text: string): readonly string[] {
  return text
    .split(/[,\r\n]+/)
    .map(unquoted)
    .filter((entry) => entry !== '');
}

/**
 * `name=value,name=value`, percent-encoded: https://www.w3.org/TR/baggage/#header-content without properties. `onProblem` is
 * told of entries that are none.
 */
export function pairsOf(text: string, onProblem: (what: string) => void): Readonly<Record<string, string>> {
  const entries = text.split(/[,\r\n]+/).filter((entry) => entry.trim() !== '');
  return Object.fromEntries(
    entries.flatMap((entry, index) => {
      const [key, value] = decodedPair(entry);
      if (key !== '' && value !== undefined) return [[key, value]];
      onProblem(`entry ${String(index + 1)} is not name=value, percent-encoded`);
      return [];
    }),
  );
}

function decodedPair(entry: string): [string, string | undefined] {
  const end = entry.indexOf('=');
  if (end < 0) return ['', undefined];
  try {
    return [decodeURIComponent(entry.slice(0, end).trim()), decodeURIComponent(entry.slice(end + 1).trim())];
  } catch {
    return ['', undefined];
  }
}
