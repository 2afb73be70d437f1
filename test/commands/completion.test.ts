/** Completion as a person meets it: a shell at a terminal, the script sourced, the Tab key. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { completionOf } from '../../src/commands/completion.ts';
import { COMMANDS, SERVICES } from '../../src/commands/contents.ts';
import { COMMON_FLAGS } from '../../src/commands/flags.ts';
import { Terminal, terminalMissing } from '../support/commands/terminal.ts';

const COMPLETED = { tables: COMMANDS.map(({ table }) => table), services: SERVICES };
const NAMES = [...Object.keys(SERVICES), ...COMMANDS.map(({ table }) => table.name), 'completion'];

/** Shells whose Control-T says what stands in the line, between < and >. */
const SHELLS = {
  bash: {
    line: 'bash --norc --noprofile -i',
    say: String.raw`bind -x '"\C-t": echo "LI""NE=<$READLINE_LINE>"'; bind 'set show-all-if-ambiguous on'; PS1='REA''DY> '`,
  },
  zsh: {
    line: 'zsh -f -i',
    say: String.raw`say() { print -r -- "LI""NE=<$BUFFER>" }; zle -N say; bindkey '^T' say; PS1='REA''DY> '`,
  },
} as const;

type Shell = keyof typeof SHELLS;

async function openShell(shell: Shell, t: TestContext): Promise<Terminal> {
  const folder = await mkdtemp(join(tmpdir(), 'completion-'));
  const script = join(folder, 'script');
  await writeFile(script, completionOf(shell, COMPLETED));
  await writeFile(join(folder, 'case.txt'), '');
  const terminal = new Terminal(SHELLS[shell].line, { HOME: folder, ZDOTDIR: folder });
  t.after(async () => {
    await terminal[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  terminal.type(`cd ${folder}; source ${script}; ${SHELLS[shell].say}\r`);
  await terminal.shows(/READY> /);
  return terminal;
}

/** What the line is after Tab, which is then cleared. */
async function completed(terminal: Terminal, typed: string): Promise<string> {
  terminal.type(`${typed}\t\u0014`);
  const [, line = ''] = await terminal.shows(/LINE=<([^>]*)>/);
  terminal.type('\u0015');
  return line;
}

for (const shell of ['bash', 'zsh'] as const) {
  const how = { skip: terminalMissing(shell), timeout: 240_000 };

  test(`${shell}: Tab completes commands, flags, and files where a flag takes one`, how, async (t) => {
    const terminal = await openShell(shell, t);
    assert.equal(await completed(terminal, 'archiver reco'), 'archiver reconcile ');
    assert.equal(await completed(terminal, 'archiver reconcile --fr'), 'archiver reconcile --from ');
    assert.equal(
      await completed(terminal, 'archiver backfill --from 2026-11-26 --dry'),
      'archiver backfill --from 2026-11-26 --dry-run ',
    );
    assert.equal(await completed(terminal, 'archiver hold K-1 --file ca'), 'archiver hold K-1 --file case.txt ');
    assert.equal(await completed(terminal, 'archiver completion z'), 'archiver completion zsh ');
    assert.equal(await completed(terminal, 'archiver reconcile --nothing'), 'archiver reconcile --nothing');
  });

  test(`${shell}: the script is one that the shell reads without a word`, { skip: terminalMissing(shell) }, () => {
    const read = spawnSync(shell, ['-n'], { input: completionOf(shell, COMPLETED), encoding: 'utf8' });
    assert.deepEqual([read.status, read.stderr], [0, '']);
  });
}

test(
  'zsh: Tab alone lists all commands, with what each does',
  { skip: terminalMissing('zsh'), timeout: 240_000 },
  async (t) => {
    const terminal = await openShell('zsh', t);
    terminal.type('archiver \t');
    for (const name of NAMES.toSorted()) await terminal.shows(new RegExp(`${name} +-- \\S`));
  },
);

test('zsh: as a file of fpath it completes as well', { skip: terminalMissing('zsh'), timeout: 240_000 }, async (t) => {
  const terminal = await openShell('zsh', t);
  terminal.type(String.raw`exec zsh -f -i` + '\r');
  terminal.type(
    `mkdir fn; cp script fn/_archiver; fpath=($PWD/fn $fpath); autoload -Uz compinit; compinit -D; ${SHELLS.zsh.say}\r`,
  );
  await terminal.shows(/READY> /);
  assert.equal(await completed(terminal, 'archiver reco'), 'archiver reconcile ');
  assert.equal(await completed(terminal, 'archiver verify --cert'), 'archiver verify --certificate ');
});

test('both scripts name every command and every flag', () => {
  for (const shell of ['bash', 'zsh'] as const) {
    const script = completionOf(shell, COMPLETED);
    for (const { table } of COMMANDS) {
      const line = script.split('\n').find((text) => text.startsWith(`    ${table.name}) `)) ?? '';
      for (const flag of Object.keys({ ...table.flags, ...COMMON_FLAGS }))
        assert.ok(line.includes(`--${flag}`), `${shell}: ${table.name} --${flag}`);
    }
  }
});
