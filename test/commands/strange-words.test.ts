/** What people and programs type where they hold and erase: names that are paths, counts that are none, reasons that command a terminal. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ArchiveScene, SCENES } from '../support/commands/archive-scene.ts';
import { linesOf } from '../support/commands/run.ts';

const R1 = { recordingId: 'r1', conversationId: 'c1' };
/** What commands a terminal, breaks a line or turns it around. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

const CASES: readonly string[] = [
  '.',
  '..',
  '../x',
  '..\\x',
  'a/../../b',
  '/etc',
  'C:\\x',
  '%2e%2e',
  '..%2fx',
  '%2e%2e%2fx',
  '..%c0%af',
  'K\u0000',
  'K\n',
  '\nK',
  'K\r\nL',
  'K\t',
  'K\u001b[2J',
  'K\u0085',
  'K\u009b31m',
  'K\u2028',
  '\u202eK',
  'K\u200b',
  'K\ufeff',
  '\u039a-1',
  '\u041a-1',
  '\uff2b-1',
  'K\u2024x',
  'K\u2215x',
  'K\ud800',
  '𝐊',
  'ß',
  'k\u0301',
  'x'.repeat(101),
  'x'.repeat(300),
  `${'x'.repeat(50)}/${'y'.repeat(49)}`,
  'K*',
  'K?',
  'K"',
  "K'",
  'K;ls',
  'K|x',
  'K<x>',
  '$K',
  '`K`',
  '~',
  ' K',
  'K ',
  'K L',
  '.K',
  'K.',
];

const REASONS: readonly string[] = [
  'on request\nof 17 March',
  'a\r\nb\u0085c\u2028d\u2029e\u000bf\u000cg',
  '\u001b[2J\u001b]0;title\u0007 and \u009b31m',
  'paid \u202e71.99\u202c and \u2066hidden\u2069',
  'zero\u200bwidth \ufeff joined\u200d',
  `tags \u{e0041}\u{e007f}`,
  '"quotes" \\ and \\u0000',
  '\u0000',
  'half a pair \ud83d',
  '✓ 日本語 مرحبا',
];

for (const [where, open] of SCENES)
  describe(`in ${where}`, () => {
    const check = (sentence: string, run: (scene: ArchiveScene) => Promise<void>): void => {
      test(sentence, { timeout: 240_000 }, async () => {
        const scene = await open();
        try {
          await run(scene);
        } finally {
          await scene.close();
        }
      });
    };

    check('no name of a case is a path, a look-alike, a command or a line of its own', async (scene) => {
      await scene.store(R1);
      const before = await scene.names();
      for (const name of CASES)
        for (const args of [
          [name, '--recording', 'c1/r1', '--reason', 'x'],
          [name, '--release'],
        ]) {
          const refused = await scene.run('hold', ...args);
          assert.equal(refused.code, 2, `${JSON.stringify(name)}: ${refused.stdout}${refused.stderr}`);
          assert.match(refused.stderr, /cannot name a case|is not a flag|is needed/, JSON.stringify(name));
        }
      assert.deepEqual(await scene.names(), before);
    });

    check('reasons are kept whole, and shown on one line that commands no terminal', async (scene) => {
      for (const [index, reason] of REASONS.entries())
        await scene.run('hold', `K${String(index)}`, '--recording', `c1/r${String(index)}`, '--reason', reason);
      for (const args of [['hold', '--list'], ['audit']] as const) {
        const { code, stdout } = await scene.run(...args);
        assert.equal(code, 0);
        for (const line of stdout.split('\n')) assert.doesNotMatch(line, UNSAFE, JSON.stringify(line));
      }
      const kept = linesOf(await scene.run('hold', '--list', '--json')).flatMap(({ reason }) => reason ?? []);
      // White space at its ends is none of it, and half a pair is no character.
      const meant = REASONS.map((reason) => reason.trim().toWellFormed());
      assert.deepEqual(new Set(kept), new Set(meant));
    });

    check('only the count of the plan erases: not one more, one less, or another spelling of it', async (scene) => {
      for (const recordingId of ['r1', 'r2', 'r3']) await scene.store({ recordingId, conversationId: 'c1' });
      const before = await scene.names();
      const confirm = (text: string): Promise<{ readonly code: number | null }> =>
        scene.run('erase', '--conversation', 'c1', '--reason', 'x', '--confirm', text);
      assert.equal(linesOf(await scene.run('erase', '--conversation', 'c1', '--json')).at(-1)?.['toErase'], 4);
      for (const text of ['3', '5', '0', '44', '999999999']) assert.equal((await confirm(text)).code, 4, text);
      for (const text of [
        '',
        '-4',
        '+4',
        '04',
        '4.0',
        '4e0',
        '0x4',
        ' 4',
        '4 ',
        '4\n',
        '٤',
        '４',
        'four',
        'any',
        'ANY',
        'all',
        'yes',
        '9999999999',
      ])
        assert.equal((await confirm(text)).code, 2, JSON.stringify(text));
      assert.deepEqual(await scene.names(), before, 'nothing has changed');
      assert.equal((await confirm('4')).code, 0);
    });
  });
