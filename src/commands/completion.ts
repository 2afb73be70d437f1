/** The tables of all commands → a completion script for bash or zsh: a new flag needs no work here. */
import { COMMON_FLAGS, type CommandTable, type Flag } from './flags.ts';

/** What can stand behind `archiver`: each with what it does. */
export interface Completed {
  readonly tables: readonly CommandTable[];
  readonly services: Readonly<Record<string, string>>;
}

/** `source <(archiver completion bash)`; for zsh also as a file `_archiver` in a folder of `$fpath`. */
export function completionOf(shell: 'bash' | 'zsh', completed: Completed): string {
  return shell === 'zsh' ? zshScript(completed) : bashScript(completed);
}

const SHELLS = ['bash', 'zsh'] as const;

function flagsShown({ flags }: CommandTable): readonly (readonly [string, Flag])[] {
  return Object.entries({ ...flags, ...COMMON_FLAGS });
}

/** The value of a flag is completed as a file, as bash does by default where nothing else is known. */
function bashScript({ tables, services }: Completed): string {
  const names = [...Object.keys(services), ...tables.map(({ name }) => name), 'completion'];
  const cases = tables.map((table) => {
    const words = flagsShown(table).map(([flag]) => `--${flag}`);
    const valued = flagsShown(table).flatMap(([flag, { kind }]) => (kind === 'switch' ? [] : [`--${flag}`]));
    return `    ${table.name}) words='${words.join(' ')}' valued='${valued.join(' ')}' ;;`;
  });
  return `_archiver() {
  local words='' valued=''
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    completion) words='${SHELLS.join(' ')}' ;;
  esac
  case " $valued " in *" \${COMP_WORDS[COMP_CWORD-1]} "*) words='' ;; esac
  [ "$COMP_CWORD" -eq 1 ] && words='${names.join(' ')}'
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _archiver archiver
`;
}

/** https://zsh.sourceforge.io/Doc/Release/Completion-System.html#Completion-Functions, `_arguments` and `_describe`. */
function zshScript({ tables, services }: Completed): string {
  const named = [
    ...Object.entries(services),
    ...tables.map(({ name, does }) => [name, does.split('. ')[0] ?? ''] as const),
    ['completion', 'for bash or zsh'] as const,
  ];
  const commands = named.map(([name, does]) => `    ${shellQuoted(`${name}:${does.replaceAll(':', '\\:')}`)}`);
  const cases = tables.map((table) => `    ${table.name}) _arguments -s ${specsOf(table).join(' ')} ;;`);
  return `#compdef archiver
_archiver() {
  local -a commands=(
${commands.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${cases.join('\n')}
    completion) compadd ${SHELLS.join(' ')} ;;
  esac
}
if [[ $funcstack[1] == _archiver ]]; then
  _archiver "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
  compdef _archiver archiver
fi
`;
}

function specsOf(table: CommandTable): readonly string[] {
  const flags = flagsShown(table).map(([name, flag]) => shellQuoted(specOf(name, flag)));
  return table.argument === undefined ? flags : [shellQuoted(`1:${table.argument}:`), ...flags];
}

const PLACES = new Set(['FILE', 'FOLDER']);

function specOf(name: string, { kind, value = '', meaning }: Flag): string {
  const often = kind === 'list' ? '*' : '';
  const taken = kind === 'switch' ? '' : `:${value}:${PLACES.has(value) ? '_files' : ''}`;
  return `${often}--${name}[${meaning.replaceAll(/[[\]\\]/g, '\\$&')}]${taken}`;
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
