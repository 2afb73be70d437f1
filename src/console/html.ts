/** Values and templates → HTML in which no value can become markup: the one way in which the console writes any. */

/** What may stand in a template; `undefined` and `false` are nothing. */
export type HtmlValue = Html | string | number | undefined | false | readonly HtmlValue[];

/** Markup; made by {@link html} alone, so that no text of somebody else's ever is. */
export class Html {
  readonly #markup: string;

  private constructor(markup: string) {
    this.#markup = markup;
  }

  static from(parts: readonly string[], values: readonly HtmlValue[]): Html {
    return new Html(parts.map((part, index) => part + written(values[index])).join(''));
  }

  toString(): string {
    return this.#markup;
  }
}

/**
 * `html\`<p title="${title}">${text}</p>\``: every value is escaped, unless it is {@link Html} itself.
 * @throws TypeError where an attribute lacks its quotes: a blank in its value would begin another one
 */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  let checked = CHECKED.get(parts);
  if (checked === undefined) {
    checked = checkedParts(parts);
    CHECKED.set(parts, checked);
  }
  return Html.from(checked, values);
}

/** A template is the same array each time it is used. */
const CHECKED = new WeakMap<TemplateStringsArray, readonly string[]>();

/** Line breaks and what is beside them are for whoever reads the source: a list of fifty rows is a third shorter without. */
function checkedParts(parts: TemplateStringsArray): readonly string[] {
  const bare = parts.slice(0, -1).find((_, index) => lacksQuotes(parts.slice(0, index + 1).join('')));
  if (bare !== undefined) throw new TypeError(`An attribute lacks its quotes: ${bare.slice(-40)}`);
  return parts.map((part) => part.replaceAll(/\s*\n\s*/g, '\n'));
}

/** The last tag is open, so are none of its quotes, and a value comes next. */
function lacksQuotes(before: string): boolean {
  const tag = before.slice(before.lastIndexOf('<'));
  return /=\s*$/.test(tag) && (tag.match(/"/g) ?? []).length % 2 === 0;
}

function written(value: HtmlValue): string {
  if (value === undefined || value === false) return '';
  if (value instanceof Html) return value.toString();
  if (typeof value === 'object') return value.map(written).join('');
  return String(value).replaceAll(/[&<>"'`\0]/g, (character) => ESCAPES.get(character) ?? '');
}

/** NUL has no place in HTML, not even escaped. */
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
  ['`', '&#96;'],
  ['\0', '\u{FFFD}'],
]);

/** What somebody else named: its direction of writing ends with it, whatever it holds. */
export function named(text: string): Html {
  return html`<bdi>${text}</bdi>`;
}
