/**
 * Names, numbers and ids → the words they are found by, without case, accents and punctuation; and what somebody typed → an
 * expression over such words (https://sqlite.org/fts5.html#full_text_query_syntax).
 */

/**
 * Words that only count as what they are begin with a sign that no typed word can hold. All lie beyond ASCII: FTS5's `ascii`
 * tokenizer takes such characters for letters.
 */
const ID = '§';
const NUMBER = '¤';
/** The number from its end: people know the last digits, and not how a number begins abroad. */
const NUMBER_REVERSED = '¢';
const QUEUE = '¶';
const DIVISION = '÷';

/** Beginnings of this many characters are indexed of their own; the signs count. */
export const INDEXED_PREFIXES = '2 5';

/** Of one name or one search; what is longer is no name. */
const MOST_WORDS = 24;
const LONGEST_WORD = 40;
/** A search of more words finds nothing more precise, and costs for each. */
const MOST_PARTS = 8;
/** Beginnings and ends of numbers and ids: shorter ones are found by chance, and have no index. What is as short itself is found whole. */
const SHORTEST_PART = 4;
/** What may be a whole number, abroad or at home (E.164: at most 15 digits). */
const SHORTEST_NUMBER = 7;

export interface Named {
  readonly conversationId: string | null;
  readonly recordingId: string | null;
  readonly agents: readonly string[];
  readonly queues: readonly string[];
  readonly number: string | null;
  readonly divisions: readonly string[];
}

/** Each once, in any order. */
export function wordsOf(named: Named): readonly string[] {
  const ids = [named.conversationId, named.recordingId].filter((id) => id !== null);
  return [
    ...new Set([
      ...[...named.agents, ...named.queues].flatMap(plainWords),
      ...ids.map(idWord),
      ...numberWords(named.number ?? ''),
      ...named.queues.map(queueWord),
      ...named.divisions.map(divisionWord),
    ]),
  ];
}

export interface WantedWords {
  readonly text: string;
  readonly queue?: string | undefined;
  readonly divisions?: readonly string[] | undefined;
  readonly mayFindNumbers: boolean;
}

/** All words there are that begin so; undefined where these are many. A few words are found faster than a beginning is. */
export type Spell = (beginning: string) => readonly string[] | undefined;

/** undefined where everything is wanted; an expression that finds nothing where nothing can be. */
export function expressionOf(wanted: WantedWords, spell: Spell): string | undefined {
  const { text, queue, divisions, mayFindNumbers } = wanted;
  const parts = typedParts(text).slice(0, MOST_PARTS);
  const all = parts.map((part) => anyOf(choicesFor(part, { mayFindNumbers, spell })));
  if (queue !== undefined) all.push(ftsWord(queueWord(queue)));
  if (divisions !== undefined) all.push(anyOf(divisions.map((id) => ftsWord(divisionWord(id)))));
  return all.length === 0 ? undefined : all.join(' AND ');
}

/** The expression for exactly this id. */
export function idExpression(id: string): string {
  return ftsWord(idWord(id));
}

/** One after the other, without case and accents. */
function plainWords(text: string): readonly string[] {
  const plain = text
    .normalize('NFKD')
    .replaceAll(/\p{M}+/gu, '')
    .toLowerCase();
  const words = plain.split(/[^\p{L}\p{N}]+/u).filter((word) => word !== '');
  return words.slice(0, MOST_WORDS).map((word) => cut(word));
}

function cut(word: string): string {
  return word.slice(0, LONGEST_WORD);
}

/** Ids are at most 128 characters and are not cut: two may differ in their last one. */
function idWord(id: string): string {
  return ID + id.toLowerCase().replaceAll(/[^0-9a-z]/g, '');
}

function queueWord(name: string): string {
  return QUEUE + plainWords(name).join('');
}

function divisionWord(id: string): string {
  return DIVISION + plainWords(id).join('');
}

/** What has no digits only, a SIP address or an extension with a name, counts as it is written. */
function numberWords(number: string): readonly string[] {
  if (!isNumeric(number)) return plainWords(number).map((word) => NUMBER + word);
  const digits = cut(digitsOf(number));
  return digits === '' ? [] : [NUMBER + digits, NUMBER_REVERSED + reversed(digits)];
}

function isNumeric(text: string): boolean {
  return /^[\d\s+()./-]*$/.test(text);
}

function digitsOf(text: string): string {
  return text.replaceAll(/\D/g, '');
}

function reversed(text: string): string {
  return Array.from(text).toReversed().join('');
}

/** What stands between blanks; digits that follow each other are one number, as they are written. */
function typedParts(text: string): readonly string[] {
  const parts: string[] = [];
  for (const part of text.split(/\s+/)) {
    const before = parts.at(-1);
    const goesOn = before !== undefined && isNumeric(before) && isNumeric(part);
    if (goesOn) parts[parts.length - 1] = `${before} ${part}`;
    else if (/[\p{L}\p{N}]/u.test(part)) parts.push(part);
  }
  return parts;
}

/** Each of them is what the part may mean. */
function choicesFor(
  part: string,
  { mayFindNumbers, spell }: { readonly mayFindNumbers: boolean; readonly spell: Spell },
): readonly string[] {
  const words = plainWords(part).map((word) => anyOf(spell(word)?.map(ftsWord) ?? [`${ftsWord(word)}*`]));
  const asWords = words.length === 0 ? [] : [`(${words.join(' AND ')})`];
  const asId = /^[0-9A-Za-z_-]+$/.test(part) ? beginning(idWord(part)) : [];
  return [...asWords, ...asId, ...numberChoices(part, mayFindNumbers)];
}

function numberChoices(part: string, mayFindNumbers: boolean): readonly string[] {
  if (!isNumeric(part)) return mayFindNumbers ? plainWords(part).flatMap((word) => beginning(NUMBER + word)) : [];
  const digits = cut(digitsOf(part));
  // 00 and + are how one dials abroad, 0 how one dials at home.
  const bare = digits.replace(/^0+/, '');
  if (!mayFindNumbers) return bare.length < SHORTEST_NUMBER ? [] : [ftsWord(NUMBER + bare)];
  const endings = [...new Set([digits, bare])].filter((ending) => ending.length >= SHORTEST_PART);
  const fromTheEnd = endings.flatMap((ending) => beginning(NUMBER_REVERSED + reversed(ending)));
  return [...beginning(NUMBER + bare), ...fromTheEnd];
}

function beginning(marked: string): readonly string[] {
  if (marked.length === 1) return [];
  return [marked.length > SHORTEST_PART ? `${ftsWord(marked)}*` : ftsWord(marked)];
}

/** Words hold letters, digits and signs of ours: nothing to escape. */
function ftsWord(word: string): string {
  return `"${word}"`;
}

/** Where nothing is allowed, nothing is found: this word is nobody's. */
const NOTHING = ftsWord(`${ID}${ID}`);

function anyOf(choices: readonly string[]): string {
  return choices.length === 0 ? NOTHING : `(${choices.join(' OR ')})`;
}
