import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../support/generated.ts';
import { html, named } from '../../src/console/html.ts';

const HOSTILE = [
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  "' onmouseover='alert(1)",
  '`${alert(1)}`',
  '</title><svg onload=alert(1)>',
  '&lt;b&gt;',
  '<!--',
  ']]>',
  '\u202Egnihton si siht',
  'x\0y',
];

/** What a parser makes of a text or an attribute: the five names and the numbers that stand for a character. */
function decoded(markup: string): string {
  const names: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', amp: '&' };
  return markup.replaceAll(/&(?:#(\d+)|(\w+));/g, (_, number: string | undefined, name: string | undefined) =>
    number === undefined ? (names[name ?? ''] ?? '?') : String.fromCodePoint(Number(number)),
  );
}

function assertInert(value: string): void {
  const markup = html`<p title="${value}">${value}</p>`.toString();
  const [, attribute = '', text = ''] = /^<p title="([^"]*)">([^<]*)<\/p>$/.exec(markup) ?? assert.fail(markup);
  assert.ok(!/[<>'`]/.test(attribute + text), markup);
  for (const part of [attribute, text]) assert.equal(decoded(part), value.replaceAll('\0', '\u{FFFD}'));
}

test('a name that is a script stays a name, in a text and in an attribute', () => {
  for (const value of HOSTILE) assertInert(value);
});

test('whatever text is put in comes out as that text and as nothing else', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' })), (value) =>
      assertInert(value.toWellFormed()),
    ),
    { seed: 15, numRuns: 300 },
  );
});

test('only what a template made goes in as it is; nothing, lists and numbers are written as one expects', () => {
  const row = html`<b>${1}</b>`;
  assert.equal(html`<i>${[row, row]}${undefined}${false}</i>`.toString(), '<i><b>1</b><b>1</b></i>');
  assert.equal(named('<i>').toString(), '<bdi>&lt;i&gt;</bdi>');
});

test('an attribute without quotes is refused: a blank would begin another one', () => {
  assert.throws(() => html`<a href=${'x onclick=y'}>z</a>`, /lacks its quotes/);
  assert.throws(() => html`<b>1</b><a title="${'t'}" href=${'x'}>z</a>`, /lacks its quotes/);
  assert.equal(html`<a href="/find?from=${1}&amp;to=${2}">z</a>`.toString(), '<a href="/find?from=1&amp;to=2">z</a>');
});
