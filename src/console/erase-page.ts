/** What is to be erased → first what would go, and its id to be typed; then gone at once, if it is still as much as was seen. */
import type { Archive } from '../archive/archive.ts';
import { subjectKey, type Subject } from '../archive/names.ts';
import { planNamed, type Planned } from '../retention/erasure-plan.ts';
import { eraseAll, giveBackHeld } from '../retention/erasure.ts';
import { Failure } from '../failure.ts';
import { html, named, type Html } from './html.ts';
import type { Keeping } from './keeping.ts';
import {
  addressOfSubject,
  KEPT_WITHIN_MS,
  keeperOf,
  keptSubject,
  whyIn,
  requireKeeping,
  wordsOfSubject,
} from './keep-form.ts';
import { grouped, plural } from './moments.ts';
import { type AnswerVisit, type ConsoleNeeds, page, tokenField, type Visit, type VisitAnswer } from './visit.ts';
import { sizeOf } from './words-for.ts';

interface SeenPlan {
  readonly subject: Subject;
  readonly items: readonly Planned[];
  /** Held or locked. */
  readonly kept: readonly Planned[];
  readonly before: readonly Subject[];
}

/** A conversation has a few recordings; one with more is the command's. */
const MOST = 1_000;

/** Nothing is changed. */
export const askErase: AnswerVisit = async (visit, needs) => {
  requireKeeping(needs, 'erase');
  const subject = await keptSubject(visit.query.get('of'), visit, needs);
  return planPage(await planFor(subject, needs.archive, visit.signal), visit);
};

export const eraseFromPage: AnswerVisit = async (visit, needs) => {
  const keeping = requireKeeping(needs, 'erase');
  const subject = await keptSubject(visit.form.get('of'), visit, needs);
  const signal = AbortSignal.timeout(KEPT_WITHIN_MS);
  const plan = await planFor(subject, needs.archive, signal);
  const asked = erasureAsked(plan, visit.form);
  if (asked instanceof Failure) return planPage(plan, visit, asked);
  for (const { state, subject: held } of plan.kept)
    if (state === 'held') await giveBackHeld(held, needs.archive, signal);
  const because = whyNotErased(plan, asked.count);
  if (because === undefined) return eraseSeen(plan, { visit, needs, keeping, reason: asked.reason }, signal);
  const about = { command: 'erase', because: because.code, toErase: plan.items.length };
  await keeping.audit.record({ action: 'refused', ...keeperOf(visit, needs), ...subject, about }, signal);
  return planPage(plan, visit, new Failure('conflict', because.words));
};

async function planFor(subject: Subject, archive: Archive, signal: AbortSignal): Promise<SeenPlan> {
  const [items, kept, before]: [Planned[], Planned[], Subject[]] = [[], [], []];
  for await (const one of planNamed([subject], archive, signal)) {
    if (one.state === 'before') before.push(one.subject);
    else if (one.state === 'to-erase') items.push(one);
    else kept.push(one);
    if (items.length + kept.length > MOST)
      throw new Failure('conflict', 'It has more than 1,000 recordings: archiver erase does that.');
  }
  return { subject, items, kept, before };
}

function idToType({ recordingId, conversationId }: Subject): string {
  return recordingId ?? conversationId ?? '';
}

interface ErasureAsked {
  readonly reason: string;
  /** That was seen. */
  readonly count: number;
}

function erasureAsked({ subject }: SeenPlan, form: URLSearchParams): ErasureAsked | Failure {
  try {
    if ((form.get('id') ?? '').trim() !== idToType(subject))
      throw new Failure('bad-request', 'The id that was typed is another one.');
    return { reason: whyIn(form), count: Number(form.get('count') ?? NaN) };
  } catch (thrown) {
    return Failure.from(thrown);
  }
}

/** As the command refuses: what is held, and what was not seen. */
function whyNotErased(
  { items, kept }: SeenPlan,
  count: number,
): { readonly code: string; readonly words: string } | undefined {
  if (kept.length > 0) return { code: 'kept', words: 'Nothing was erased: some of it is held or locked, see below.' };
  if (items.length === count) return undefined;
  return {
    code: 'count',
    words: `Nothing was erased: it is ${grouped(items.length)} now. Look again, then confirm that.`,
  };
}

interface ErasureWork {
  readonly visit: Visit;
  readonly needs: ConsoleNeeds;
  readonly keeping: Keeping;
  readonly reason: string;
}

async function eraseSeen(
  { subject, items, before }: SeenPlan,
  { visit, needs, keeping, reason }: ErasureWork,
  signal: AbortSignal,
): Promise<VisitAnswer> {
  const erasing = {
    archive: needs.archive,
    audit: keeping.audit,
    by: keeperOf(visit, needs),
    reason,
    looksAgain: true,
  };
  const erased = [...before];
  let [gone, held] = [0, 0];
  for await (const end of eraseAll(items, erasing, signal)) {
    if (end.state === 'held') held += 1;
    else {
      gone += 1;
      erased.push(end.subject);
    }
  }
  await keeping.forgetBeside(erased);
  for (const shown of Object.values(needs.lastShown)) shown.forget();
  return page({
    title: held === 0 ? 'Erased' : 'Not all erased',
    section: 'find',
    main: html`<section class="card sec notice" role="status">
      <h1>${held === 0 ? 'It is erased' : 'Not all of it is erased'}</h1>
      <p>
        ${plural(gone, 'is', 'are')} gone for good: ${wordsOfSubject(subject)}.
        ${held > 0 && html`${plural(held, 'was', 'were')} held or locked in the last moment, and stay.`}
      </p>
      <p class="acts"><a class="btn pri" href="/console/find">To the list</a></p>
    </section>`,
  });
}

function planPage(plan: SeenPlan, visit: Visit, problem?: Failure): VisitAnswer {
  const { subject, items, kept } = plan;
  return page({
    title: 'Erase',
    section: 'find',
    status: problem?.status ?? 200,
    main: html`<section class="card sec notice">
      <h1>Erase ${wordsOfSubject(subject)}?</h1>
      ${problem !== undefined && html`<p class="said bad" role="alert" id="problem">${problem.message}</p>`}
      ${kept.length > 0 ? keptPart(kept) : goingPart(items)}
      ${items.length > 0 && kept.length === 0 ? eraseForm(plan, visit) : leaveIt(subject)}
    </section>`,
  });
}

function leaveIt(subject: Subject): Html {
  return html`<p class="acts"><a class="btn" href="${addressOfSubject(subject)}">Leave it</a></p>`;
}

function goingPart(items: readonly Planned[]): Html {
  if (items.length === 0) return html`<p>Nothing is left of it.</p>`;
  const size = sizeOf(items.reduce((sum, { remains }) => sum + remains.sizeBytes, 0));
  return html`<p>
      ${
        items.length === 1
          ? html`It goes for good, ${size}: nothing brings it back.`
          : html`These ${items.length} go for good, ${size}: nothing brings them back.`
      }
    </p>
    <ul class="waits">
      ${items
        .slice(0, 20)
        .map(
          ({ subject, remains }) =>
            html`<li>
              <span class="grow">${wordsOfSubject(subject)}</span><span class="num">${sizeOf(remains.sizeBytes)}</span>
            </li>`,
        )}
      ${items.length > 20 && html`<li class="muted">${plural(items.length - 20, 'more', 'more')}</li>`}
    </ul>`;
}

function keptPart(kept: readonly Planned[]): Html {
  return html`<p>Nothing of it is erased as long as these are held or locked:</p>
    <ul class="waits">
      ${kept.slice(0, 20).map((one) => html`<li><span class="grow">${wordsOfSubject(one.subject)}</span>${whyKept(one)}</li>`)}
    </ul>`;
}

function whyKept(one: Planned): Html {
  if (one.state === 'held' && one.cases.length > 0) return html`<span>held for ${named(one.cases.join(', '))}</span>`;
  return one.state === 'locked' ? html`<span>locked until ${one.until}</span>` : html`<span>held</span>`;
}

function eraseForm({ subject, items }: SeenPlan, visit: Visit): Html {
  const { form } = visit;
  return html`<form method="post" action="/console/erase" class="stack">
    ${tokenField(visit)}<input type="hidden" name="of" value="${subjectKey(subject)}" />
    <input type="hidden" name="count" value="${items.length}" />
    <label class="lab1"
      >Type its id, to say that this one is meant: <code class="ids1">${idToType(subject)}</code>
      <input class="inp" name="id" required autocomplete="off" spellcheck="false" value="${form.get('id') ?? ''}"
    /></label>
    <label class="lab1"
      >Why, without names or numbers; it stays in the audit
      <input class="inp" name="reason" required maxlength="1000" autocomplete="off" value="${form.get('reason') ?? ''}"
    /></label>
    <p class="acts">
      <button class="btn danger" type="submit">Erase for good</button>
      <a class="btn" href="${addressOfSubject(subject)}">Leave it</a>
    </p>
  </form>`;
}
