/** Addresses typed by hand, with nonsense in them: each is answered, what is wrong is named, and nothing breaks. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PAGES } from '../../src/console/pages.ts';
import { addCall } from '../support/console/calls.ts';
import { type ConsoleScene, openConsoleScene } from '../support/console/console.ts';
import { runs, SEED, seeded } from '../support/soak.ts';

let scene: ConsoleScene;
before(async () => {
  scene = await openConsoleScene();
  scene.now = new Date('2026-11-27T17:09:00Z');
  await addCall(scene.archive, { conversationId: 'c', recordingId: 'r' }, { agent: 'Ines Carvalho', seconds: 2 });
  await scene.search.fill(AbortSignal.timeout(60_000));
});
after(() => scene[Symbol.asyncDispose]());

const NONSENSE: readonly string[] = [
  '',
  ' ',
  '0',
  '-1',
  '1e9',
  '99999999999999999999',
  'NaN',
  'null',
  'undefined',
  'true',
  '[object Object]',
  '%',
  '%zz',
  '%00',
  '%E0%A4%A',
  '%F0%9F%98%80',
  '\u202Eabc',
  '\u0000',
  'a\nb',
  '"',
  "' OR 1=1 --",
  '*',
  'a* OR b*',
  'NEAR(a b)',
  '(((',
  'a"b"c',
  '-ines',
  '^ines',
  'word:ines',
  '../../etc/passwd',
  '..%2F..%2Fx',
  'c.r.x',
  '_._',
  '._',
  '.',
  'c._',
  '<script>alert(1)</script>',
  'x'.repeat(199),
  'x'.repeat(5_000),
  '2026-02-30',
  '2026-13-01',
  '0000-00-00',
  '9999-12-31',
  '-000001-01-01',
  '+275760-09-13',
  '2569-11-27',
  '1447/06/06',
  '27.11.2026',
  '2026-11-27T00:00:00Z',
  '２０２６-11-27',
  'archived,failed',
  'ARCHIVED',
  'inbound outbound',
  'eyJhIjoxfQ',
  'YWJj',
];

const FIELDS = [
  'q',
  'from',
  'to',
  'queue',
  'minLength',
  'status',
  'direction',
  'cursor',
  'open',
  'code',
  'who',
  'C',
  'at',
  'sent',
  'replay',
  'again',
  'zzz',
];

/** As a browser sends what was typed: what is no whole escape stays as it is. */
function typed(value: string): string {
  return value.startsWith('%') ? value : encodeURIComponent(value);
}

async function answered(path: string): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await scene.get(path);
  return { status: answer.status, text: await answer.text() };
}

function judge(path: string, { status, text }: Awaited<ReturnType<typeof answered>>): void {
  assert.ok(status < 500 && status !== 0, `${path}: ${String(status)}\n${text.slice(0, 400)}`);
  assert.doesNotMatch(text, /<script>alert|\bat [\w.]+ \(|node:internal|SQLITE_|fts5: /, path);
}

/** All in the long run, else every fourth, another one at each place. */
let place = 0;
function some(): readonly string[] {
  place += 1;
  return NONSENSE.filter((_, n) => (n + place) % runs(4, 1) === 0);
}

const PAGE_PATHS = PAGES.filter(({ method }) => method === 'GET').map(({ path }) => path);

test('one nonsense in each place of each address', async () => {
  for (const path of PAGE_PATHS)
    for (const value of some()) {
      const filled = path.replaceAll(/:\w+/g, () => typed(value));
      if (filled !== path) judge(filled, await answered(`/console${filled}`));
    }
  for (const path of ['/find', '/failures', '/audit', '/health', '/recordings/c/r', '/levels/c/r'])
    for (const field of FIELDS)
      for (const value of some()) {
        const address = `/console${path}?${field}=${typed(value)}`;
        judge(address, await answered(address));
      }
  assert.equal(scene.lines.filter((line) => line.includes('"ERROR"')).length, 0, 'nothing of it concerns an operator');
});

test('many at once, in any mixture: refused with the field named, or answered, with the filters as they were typed', async () => {
  const random = seeded(SEED);
  const any = <T>(all: readonly T[]): T | undefined => all[Math.floor(random() * all.length)];
  const sane = {
    q: 'ines',
    from: '2026-11-21',
    to: '2026-11-27',
    status: 'archived',
    direction: 'inbound',
    minLength: '1',
  };
  for (let run = 0; run < runs(150, 4_000); run += 1) {
    const query = Object.entries(sane).flatMap(([name, value]) => {
      const dice = random();
      if (dice < 0.3) return [];
      return [`${name}=${dice < 0.8 ? value : typed(any(NONSENSE) ?? '')}`];
    });
    if (random() < 0.3) query.push(`open=${typed(any(NONSENSE) ?? '')}`);
    if (random() < 0.2) query.push(`${any(FIELDS) ?? 'q'}=${typed(any(NONSENSE) ?? '')}`);
    const path = `/console/find?${query.join('&')}`;
    const answer = await answered(path);
    judge(path, answer);
    if (answer.status !== 400) continue;
    assert.match(answer.text, /\b(q|from|to|queue|minLength|status|direction|cursor): /, path);
  }
});

test('whatever filters leave nothing, the page says so, names them, and offers to drop each', async () => {
  const filters = [
    ['q', 'nobody'],
    ['queue', 'Nowhere'],
    ['minLength', '86400'],
    ['status', 'failed'],
    ['direction', 'outbound'],
  ] as const;
  for (let set = 1; set < 2 ** filters.length; set += 1) {
    const chosen = filters.filter((_, bit) => (set & (1 << bit)) !== 0);
    const query = new URLSearchParams(chosen.map(([name, value]) => [name, value]));
    const { status, text } = await answered(`/console/find?${query.toString()}`);
    assert.equal(status, 200, query.toString());
    assert.match(text, /Nothing found/, query.toString());
    assert.equal(text.match(/, drop this filter/g)?.length, chosen.length, query.toString());
    assert.equal(text.includes('rel="next"'), false);
  }
});
