/**
 * Names, numbers and ids → the words they are found by, without case, accents and punctuation; and what somebody typed → an
 * expression over such words (https://sqlite.org/fts5.html#full_text_query_syntax).
 */
import { factsExpressions, factWords, HAS_RECORDINGS, NO_RECORDINGS, type Facts, type FactsAsked } from './facts.ts';

/**
 * Words that only count as what they are begin with a sign that no typed word can hold. All lie beyond ASCII: FTS5's `ascii`
 * tokenizer takes such characters for letters.
 */
const ID = '§';
const NUMBER = '¤';
/** The number from its end: people know the last digits, and not how a number begins abroad. */
const NUMBER_REVERSED = '¢';
const NUMBER_BEGINNING = '¦';
const QUEUE = '¶';
const DIVISION = '÷';

/** Beginnings of so many letters are words of their own: what many rows have is read as it goes on, and never put together. */
const BEGINNINGS = [1, 2, 3, 4, 6];
/** The same of digits, which are typed from four on. */
const NUMBER_BEGINNINGS = [4, 5, 6];
/** More words that begin alike are looked for by their beginning, which costs for each row that has one of them. */
export const MOST_SPELLED = 64;

/** Of one name or one search; what is longer is no name. */
const MOST_WORDS = 24;
const LONGEST_WORD = 40;
/** A search of more words finds nothing more precise, and costs for each. */
const MOST_PARTS = 8;
/** Beginnings and ends of numbers and ids: shorter ones are found by chance. What is as short itself is found whole. */
const SHORTEST_PART = 4;
/** What may be a whole number, abroad or at home (E.164: at most 15 digits). */
const SHORTEST_NUMBER = 7;

/** Names come again and again. */
const NAMES_REMEMBERED = 4_096;

export interface Named extends Facts {
  readonly conversationId: string | null;
  readonly recordingId: string | null;
  readonly agents: readonly string[];
  readonly queues: readonly string[];
  readonly number: string | null;
  readonly divisions: readonly string[];
}

/** Between blanks, some perhaps twice. Always the same ones: they are taken out as they were put in. */
export function wordsOf(named: Named): string {
  const { conversationId, recordingId, agents, queues, number, divisions } = named;
  const words = [factWords(named), ...agents.map(nameWords), ...queues.map(queueWords)];
  if (conversationId !== null) words.push(idWord(conversationId));
  if (recordingId !== null) words.push(idWord(recordingId));
  if (number !== null) words.push(...numberWords(number));
  words.push(...divisions.map(divisionWord));
  return words.join(' ');
}

const nameWords = remembered((name) => plainWords(name).flatMap(withBeginnings).join(' '));
const queueWords = remembered((name) => `${nameWords(name)} ${queueWord(name)}`);

/** Letters that take two places count as two, in what is kept as in what is typed. */
function withBeginnings(word: string): readonly string[] {
  return [...BEGINNINGS.filter((length) => length < word.length).map((length) => word.slice(0, length)), word];
}

function remembered(make: (name: string) => string): (name: string) => string {
  const known = new Map<string, string>();
  return (name) => {
    const found = known.get(name);
    if (found !== undefined) return found;
    if (known.size >= NAMES_REMEMBERED) known.clear();
    const made = make(name);
    known.set(name, made);
    return made;
  };
}

export interface WantedWords extends FactsAsked {
  readonly text: string;
  readonly queue?: string | undefined;
  readonly divisions?: readonly string[] | undefined;
  readonly mayFindNumbers: boolean;
}

/**
 * The words there are that begin so and have at most so many letters; undefined where these are more than {@link MOST_SPELLED}. A few
 * words are found faster than a beginning is.
 */
export type Spell = (beginning: string, longest: number) => readonly string[] | undefined;

/** Finds nothing where nothing can be. */
export function expressionOf(wanted: WantedWords, spell: Spell): string {
  const { text, queue, divisions, mayFindNumbers } = wanted;
  const parts = [...new Set(typedParts(text))].slice(0, MOST_PARTS);
  const all = parts.map((part) => anyOf(choicesFor(part, { mayFindNumbers, spell })));
  if (queue !== undefined) all.push(ftsWord(queueWord(queue)));
  if (divisions !== undefined) all.push(anyOf(divisions.map((id) => ftsWord(divisionWord(id)))));
  all.push(...factsExpressions(wanted));
  if (wanted.status !== undefined) return all.join(' AND ');
  return all.length === 0 ? HAS_RECORDINGS : `(${all.join(' AND ')}) NOT ${NO_RECORDINGS}`;
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
  if (digits === '') return [];
  const beginnings = NUMBER_BEGINNINGS.filter((length) => length <= digits.length);
  return [
    NUMBER + digits,
    NUMBER_REVERSED + reversed(digits),
    ...beginnings.map((length) => NUMBER_BEGINNING + digits.slice(0, length)),
  ];
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

interface TypedMeaning {
  readonly mayFindNumbers: boolean;
  readonly spell: Spell;
}

/** Each of them is what the part may mean. */
function choicesFor(part: string, means: TypedMeaning): readonly string[] {
  const words = plainWords(part).map((word) => nameBeginning(word, means.spell));
  const asWords = words.length === 0 ? [] : [`(${words.join(' AND ')})`];
  return [...asWords, ...idChoices(part, means), ...numberChoices(part, means)];
}

/** An id, or a recording's two, `C/R` in addresses and `C.R` in what commands say; `_` where there is no conversation. */
function idChoices(part: string, { spell }: TypedMeaning): readonly string[] {
  if (!/^[\w-]+(?:[./][\w-]+)?$/.test(part)) return [];
  const ids = part.split(/[./]/).map((id) => beginning(idWord(id), spell));
  const known = ids.filter((choices) => choices.length > 0).map(anyOf);
  return known.length === 0 ? [] : [`(${known.join(' AND ')})`];
}

function numberChoices(part: string, { mayFindNumbers, spell }: TypedMeaning): readonly string[] {
  if (!isNumeric(part))
    return mayFindNumbers ? plainWords(part).flatMap((word) => beginning(NUMBER + word, spell)) : [];
  const digits = cut(digitsOf(part));
  // 00 and + are how one dials abroad, 0 how one dials at home.
  const bare = digits.replace(/^0+/, '');
  if (!mayFindNumbers) return bare.length < SHORTEST_NUMBER ? [] : [ftsWord(NUMBER + bare)];
  const endings = [...new Set([digits, bare])].filter((ending) => ending.length >= SHORTEST_PART);
  const fromTheEnd = endings.flatMap((ending) => beginning(NUMBER_REVERSED + reversed(ending), spell));
  return [...numberBeginning(bare, spell), ...fromTheEnd];
}

function nameBeginning(word: string, spell: Spell): string {
  if (BEGINNINGS.includes(word.length)) return ftsWord(word);
  const longest = BEGINNINGS.find((length) => length > word.length) ?? LONGEST_WORD;
  return anyOf(spelled(word, spell, longest));
}

function numberBeginning(digits: string, spell: Spell): readonly string[] {
  return NUMBER_BEGINNINGS.includes(digits.length)
    ? [ftsWord(NUMBER_BEGINNING + digits)]
    : beginning(NUMBER + digits, spell);
}

function beginning(marked: string, spell: Spell): readonly string[] {
  if (marked.length === 1) return [];
  return marked.length > SHORTEST_PART ? spelled(marked, spell) : [ftsWord(marked)];
}

function spelled(word: string, spell: Spell, longest = LONGEST_WORD + 1): readonly string[] {
  return spell(word, longest)?.map(ftsWord) ?? [`${ftsWord(word)}*`];
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
