/** An environment → the variables in it that are none of ours and nearly are: a slip there is a setting that does nothing, in silence. */
import { changesBetween } from '../nearest.ts';
import type { Environment } from './text.ts';
import { VARIABLES } from './variables.ts';

export interface Slip {
  readonly name: string;
  /** The variable that was probably meant. */
  readonly meant: string;
}

const KNOWN: readonly string[] = Object.entries(VARIABLES).flatMap(([name, { kind }]) =>
  kind === 'secret' ? [name, `${name}_FILE`] : [name],
);

/** Which are known in lower case as well. */
const OF_PROXIES = /_proxy$/i;

/** Names of one word belong to systems and shells (HOME, HOSTNAME). */
export function slipsIn(env: Environment): readonly Slip[] {
  const strange = Object.keys(env).filter((name) => name.includes('_') && !KNOWN.includes(name));
  return strange.flatMap((name) => {
    const meant = KNOWN.find((known) => isNearly(name.toUpperCase(), known));
    return meant === undefined || OF_PROXIES.test(name) ? [] : [{ name, meant }];
  });
}

/** A letter of ten, of which the first is right: what is further away may be another program's own. */
function isNearly(name: string, known: string): boolean {
  const most = known.length < 12 ? 1 : 2;
  return name[0] === known[0] && Math.abs(name.length - known.length) <= most && changesBetween(name, known) <= most;
}
