/** A recording or a conversation → what holds it, and how that is changed: forms where it is done at once, else the commands. */
import { type HoldRecord, subjectOfHold } from '../archive/holds.ts';
import { subjectKey, type Subject } from '../archive/names.ts';
import type { Call } from './call.ts';
import { html, named, type Html } from './html.ts';
import { flagOfSubject } from './keep-form.ts';
import { tokenField, type ConsoleNeeds, type Visit } from './visit.ts';

export function keepPart(
  { subject, state, holds }: Call,
  { visit, needs }: { readonly visit: Visit; readonly needs: ConsoleNeeds },
): Html | undefined {
  const { roles } = visit.who;
  const [mayHold, mayErase] = [roles.has('hold'), roles.has('erase')];
  if ((!mayHold && !mayErase) || state.kind === 'erased') return undefined;
  const names = [...(mayHold ? ['Hold'] : []), ...(mayErase ? ['Erase'] : [])].join(', ');
  if (needs.keeping === undefined)
    return html`<details class="audw more">
      <summary>${names}: the commands</summary>
      ${commandsPart(subject, { mayHold, mayErase })}
    </details>`;
  return html`<details class="audw more">
    <summary>${names}</summary>
    ${mayHold && html`${holds.map((hold) => releaseForm(hold, visit))} ${holdForm({ subject }, visit)}`}
    ${
      mayErase &&
      html`<p class="acts">
        <a class="btn" href="/console/erase?of=${subjectKey(subject)}">Erase…</a>
        <span class="muted small">Says first what would go; what is held stays.</span>
      </p>`
    }
  </details>`;
}

interface HoldValues {
  readonly subject: Subject;
  readonly caseName?: string;
  readonly reason?: string;
}

/** Also what comes back when something in it was wrong. */
export function holdForm({ subject, caseName = '', reason = '' }: HoldValues, visit: Visit): Html {
  return html`<form method="post" action="/console/hold" class="filters">
    ${tokenField(visit)}<input type="hidden" name="of" value="${subjectKey(subject)}" />
    <label class="lab1"
      >Hold for case <input class="inp" name="case" required maxlength="100" autocomplete="off" value="${caseName}"
    /></label>
    <label class="lab1 wide1"
      >Why, without names or numbers
      <input class="inp" name="reason" required maxlength="1000" autocomplete="off" value="${reason}"
    /></label>
    <button class="btn" type="submit">Hold</button>
  </form>`;
}

function releaseForm(hold: HoldRecord, visit: Visit): Html {
  const { case: name, by, reason, recordingId } = hold;
  return html`<form method="post" action="/console/release" class="held">
    ${tokenField(visit)}<input type="hidden" name="of" value="${subjectKey(subjectOfHold(hold))}" />
    <input type="hidden" name="case" value="${name}" />
    <span class="grow"
      >Held for ${named(name)}${recordingId === null && ', the whole conversation'}
      <span class="muted small">by ${named(by)}: ${named(reason)}</span></span
    >
    <button class="btn" type="submit">Release<span class="vh"> from ${name}</span></button>
  </form>`;
}

interface KeeperRoles {
  readonly mayHold: boolean;
  readonly mayErase: boolean;
}

/** What is done at the console of a machine, by those whose it is: each command as it would be typed. */
function commandsPart(subject: Subject, { mayHold, mayErase }: KeeperRoles): Html {
  const target = flagOfSubject(subject);
  return html`<dl class="facts">
    ${
      mayHold &&
      html`<dt>Hold</dt>
        <dd><code>archiver hold CASE ${target} --reason "…"</code></dd>
        <dt>Release</dt>
        <dd><code>archiver hold CASE ${target} --release</code></dd>`
    }
    ${
      mayErase &&
      html`<dt>Erase</dt>
        <dd>
          <code>archiver erase ${target} --reason "…"</code>, which says what it would do until <code>--confirm</code>
        </dd>`
    }
  </dl>`;
}
