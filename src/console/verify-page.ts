/** A recording and its originals, read whole → whether they are what was stored, by its manifest; the answer is on record. */
import type { Archive } from '../archive/archive.ts';
import type { Fault } from '../archive/inspect.ts';
import type { Manifest } from '../archive/manifest.ts';
import { subjectKey, type Subject } from '../archive/names.ts';
import { rereadFaults } from '../archive/verify.ts';
import { Failure } from '../failure.ts';
import type { Recording } from '../recording.ts';
import { html, type Html } from './html.ts';
import { addressOfSubject, keptSubject } from './keep-form.ts';
import { type AnswerVisit, page, tokenField, type Visit, type VisitAnswer } from './visit.ts';
import { sizeOf, timeOf } from './words-for.ts';

/** A screen of hours is gigabytes; whoever leaves the page ends it sooner. */
const READ_WITHIN_MS = 1_800_000;

/** One at a time: each reads as much as a listener in the same time, and nothing waits for it. */
export const verifyFromPage: AnswerVisit = async (visit, needs) => {
  const subject = await keptSubject(visit.form.get('of'), visit, needs);
  const { recordingId, conversationId } = subject;
  if (recordingId === undefined) throw new Failure('bad-request', 'of: expected the key of a recording.');
  const signal = AbortSignal.any([visit.signal, AbortSignal.timeout(READ_WITHIN_MS)]);
  let turn: Disposable;
  try {
    turn = needs.rereads.enter(visit.who.id);
  } catch {
    return laterPage(subject, visit);
  }
  using _turn = turn;
  const found = await readAgain({ recordingId, conversationId }, needs.archive, signal);
  await needs.witness.record(visit.req, {
    action: 'verified',
    way: visit.who.way,
    who: visit.who.id,
    recording: { recordingId, conversationId },
    about: { isAsStored: found.faults.length === 0, bytes: found.manifest?.webm.sizeBytes ?? 0 },
  });
  return foundPage({ ...found, subject, at: needs.now() }, visit);
};

interface ReadAgain {
  /** undefined where it cannot be told what was stored. */
  readonly manifest: Manifest | undefined;
  readonly faults: readonly Pick<Fault, 'reason'>[];
}

async function readAgain(recording: Recording, archive: Archive, signal: AbortSignal): Promise<ReadAgain> {
  try {
    const manifest = await archive.findUnerased(recording, signal);
    if (manifest === undefined)
      throw new Failure('not-found', 'It is not in the archive: there is nothing to compare.');
    return { manifest, faults: await rereadFaults(manifest, archive, signal) };
  } catch (thrown) {
    if (!(thrown instanceof Failure) || thrown.code !== 'conflict') throw thrown;
    return { manifest: undefined, faults: [{ reason: thrown.message }] };
  }
}

/** Its button, on the page of a recording. */
export function verifyForm(subject: Subject, visit: Visit, text = 'Verify'): Html {
  return html`<form method="post" action="/console/verify">
    ${tokenField(visit)}<input type="hidden" name="of" value="${subjectKey(subject)}" />
    <button class="btn" type="submit" aria-label="${text}: read all of it and compare it with its manifest">
      ${text}
    </button>
  </form>`;
}

function backLink(subject: Subject): Html {
  return html`<a class="btn" href="${addressOfSubject(subject)}">Back to the recording</a>`;
}

function laterPage(subject: Subject, visit: Visit): VisitAnswer {
  return page({
    title: 'Verify',
    section: 'find',
    status: 429,
    main: html`<section class="card sec notice">
      <h1>Another one is being read</h1>
      <p>Recordings are read whole one at a time, so that nobody who listens waits for it.</p>
      <div class="acts">${verifyForm(subject, visit, 'Try again')}${backLink(subject)}</div>
    </section>`,
  });
}

interface FoundNow extends ReadAgain {
  readonly subject: Subject;
  readonly at: Date;
}

function foundPage({ manifest, faults, subject, at }: FoundNow, visit: Visit): VisitAnswer {
  const isAsStored = manifest !== undefined && faults.length === 0;
  const title = isAsStored ? 'It is what was stored' : 'It is not what was stored';
  return page({
    title,
    section: 'find',
    main: html`<section class="card sec notice">
      <h1>${title}</h1>
      ${isAsStored ? provenPart(manifest) : faultsPart(faults)}
      <p class="muted small">Read ${timeOf(at.toISOString(), 'moment')}, and on record with what was found.</p>
      <div class="acts">${backLink(subject)}${verifyForm(subject, visit, 'Read it once more')}</div>
    </section>`,
  });
}

function provenPart({ webm, sources }: Manifest): Html {
  const originals = sources.filter(({ original }) => original !== undefined).length;
  return html`<p>
      <span class="st good"
        ><i></i>Every byte was read and is as its manifest
        says${originals > 0 && html`, of its ${originals === 1 ? 'original' : 'originals'} as well`}.</span
      >
    </p>
    <dl class="facts">
      <dt>SHA-256</dt>
      <dd><code>${webm.sha256}</code></dd>
      <dt>CRC32C</dt>
      <dd><code>${webm.crc32c}</code></dd>
      <dt>Size</dt>
      <dd>${sizeOf(webm.sizeBytes)}</dd>
    </dl>`;
}

function faultsPart(faults: ReadAgain['faults']): Html {
  return html`<ul class="said bad">
      ${faults.map(({ reason }) => html`<li>${reason}</li>`)}
    </ul>
    <p>
      <b>What to do next:</b> keep what lies there as it is; whoever runs the service finds with
      <code>archiver verify</code> the command that mends it, from an old version or from Genesys Cloud.
    </p>`;
}
