/** A case and a recording, from a form → held or released at once, on record before; what is wrong is said beside the form. */
import { holdsOn, requireCase, subjectOfHold } from '../archive/holds.ts';
import { subjectKey, subjectOfKey, type Subject } from '../archive/names.ts';
import { Failure } from '../failure.ts';
import { holdSubject, newHold, releaseHold } from '../retention/holding.ts';
import { html } from './html.ts';
import { isAway } from './last-shown.ts';
import { holdForm } from './keep-part.ts';
import {
  addressOfSubject,
  KEPT_WITHIN_MS,
  keeperOf,
  keptSubject,
  whyIn,
  requireKeeping,
  wordsOfSubject,
} from './keep-form.ts';
import { page, redirect, type AnswerVisit, type ConsoleNeeds, type Visit, type VisitAnswer } from './visit.ts';

export const holdFromPage: AnswerVisit = async (visit, needs) => {
  try {
    return await holdNow(visit, needs);
  } catch (thrown) {
    const subject = subjectOfKey(visit.form.get('of') ?? '');
    if (!isAway(thrown) || subject === undefined) throw thrown;
    // What was typed stays.
    return askAgain(subject, thrown, visit);
  }
};

async function holdNow(visit: Visit, needs: ConsoleNeeds): Promise<VisitAnswer> {
  const { audit } = requireKeeping(needs, 'hold');
  const subject = await keptSubject(visit.form.get('of'), visit, needs);
  const asked = holdAsked(visit.form);
  if (asked instanceof Failure) return askAgain(subject, asked, visit);
  const hold = newHold(subject, { ...asked, by: visit.who.id, at: needs.now() });
  const holding = { archive: needs.archive, audit, by: keeperOf(visit, needs) };
  const { state, gone } = await holdSubject(hold, holding, AbortSignal.timeout(KEPT_WITHIN_MS));
  const said = state === 'held' && gone.length > 0 ? 'held-rest' : state;
  return redirect(`${addressOfSubject(subject)}?said=${said}`);
}

export const releaseFromPage: AnswerVisit = async (visit, needs) => {
  const { audit } = requireKeeping(needs, 'hold');
  const subject = await keptSubject(visit.form.get('of'), visit, needs);
  const signal = AbortSignal.timeout(KEPT_WITHIN_MS);
  const holds = await holdsOn(subject, needs.archive.notes, signal);
  const hold = holds.find(
    (one) => one.case === visit.form.get('case') && subjectKey(subjectOfHold(one)) === subjectKey(subject),
  );
  const back = addressOfSubject(subject);
  // Released by somebody else meanwhile: it is as it was meant to be.
  if (hold === undefined) return redirect(`${back}?said=not-held`);
  const others = await releaseHold(hold, { archive: needs.archive, audit, by: keeperOf(visit, needs) }, signal);
  return redirect(`${back}?said=${others.length === 0 ? 'released' : 'held-still'}`);
};

function holdAsked(form: URLSearchParams): { readonly caseName: string; readonly reason: string } | Failure {
  try {
    return { caseName: requireCase((form.get('case') ?? '').trim()), reason: whyIn(form) };
  } catch (thrown) {
    return Failure.from(thrown);
  }
}

function askAgain(subject: Subject, { message, status }: Failure, visit: Visit): VisitAnswer {
  const [caseName, reason] = [visit.form.get('case') ?? '', visit.form.get('reason') ?? ''];
  return page({
    title: 'Hold',
    section: 'find',
    status,
    main: html`<section class="card sec notice">
      <h1>Hold ${wordsOfSubject(subject)}</h1>
      <p class="said bad" role="alert"><b>That did not work.</b> ${message}</p>
      ${holdForm({ subject, caseName, reason }, visit)}
      <p class="acts"><a class="btn" href="${addressOfSubject(subject)}">Leave it</a></p>
    </section>`,
  });
}

/** What became of it, as the page of the recording says it afterwards. */
export const SAID: ReadonlyMap<string, string> = new Map([
  ['held', 'It is held: nobody erases it until it is released.'],
  ['held-rest', 'What is left of it is held; some of it had been erased before.'],
  ['already', 'This case held it before.'],
  ['too-late', 'It had been erased before it could be held.'],
  ['released', 'It is released: no case holds it any more.'],
  ['held-still', 'It is released from this case; others hold it still.'],
  ['not-held', 'This case does not hold it any more.'],
]);
