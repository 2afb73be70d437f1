/** The tables of all commands → a completion script for bash or zsh. */
import { COMMON_FLAGS, type CommandTable } from './flags.ts';

/** `source <(archiver completion bash)`; one line a command, so that a new flag needs no work here. */
export function completionOf(
  shell: 'bash' | 'zsh',
  tables: readonly CommandTable[],
  services: readonly string[],
): string {
  const names = [...services, ...tables.map(({ name }) => name), 'completion'];
  const cases = tables.map(({ name, flags }) => {
    const words = Object.keys({ ...flags, ...COMMON_FLAGS }).map((flag) => `--${flag}`);
    return `    ${name}) words='${words.join(' ')}' ;;`;
  });
  const header = shell === 'zsh' ? '#compdef archiver\nautoload -U +X bashcompinit && bashcompinit\n' : '';
  return `${header}_archiver() {
  local words=''
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
    completion) words='bash zsh' ;;
  esac
  [ "$COMP_CWORD" -eq 1 ] && words='${names.join(' ')}'
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _archiver archiver
`;
}
