/** A word that nobody knows → the known one that was probably meant. */

/** The name with the fewest letters to change, in whatever case, where those are at most half of it. */
export function nearestOf(text: string, names: readonly string[]): string | undefined {
  const ranked = names.map((name) => ({ name, changes: changesBetween(text.toLowerCase(), name.toLowerCase()) }));
  const [best] = ranked.toSorted((a, b) => a.changes - b.changes);
  return best !== undefined && best.changes <= Math.max(1, best.name.length / 2) ? best.name : undefined;
}

/** Letters added, dropped or replaced (Levenshtein). */
export function changesBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of a.split('').entries()) {
    const next = [i + 1];
    for (const [j, other] of b.split('').entries()) {
      next.push(Math.min((row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
