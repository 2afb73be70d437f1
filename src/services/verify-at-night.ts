/** An archive → at night a part of it is read, all of it compared with its manifests and seals, and what is not as it was stored is said. */
import type { Archive } from '../archive/archive.ts';
import { partOfDay, partText } from '../archive/part.ts';
import type { Audit } from '../audit/audit.ts';
import { openSigner } from '../certificate/open-signer.ts';
import { dayAt } from '../instant.ts';
import type { ArchiveFinding } from '../survey/survey.ts';
import { comparedIn, verifyArchive } from '../survey/verify-archive.ts';
import type { NightContext } from './look-at-night.ts';

/** So many nights read all of the archive once. */
const NIGHTS = 30;
/** Named one by one in the log of a night; the rest is counted, and `archiver verify` names all of them. */
const MOST_NAMED = 20;

interface VerifyingNeeds {
  readonly archive: Archive;
  readonly audit: Pick<Audit, 'days'>;
  readonly now?: () => Date;
}

export class NightlyVerification {
  readonly #context: NightContext;
  readonly #needs: VerifyingNeeds;
  #findings = NaN;

  constructor(context: NightContext, needs: VerifyingNeeds) {
    this.#context = context;
    this.#needs = needs;
    context.metrics.gauge('archive_findings', () => this.#findings);
  }

  /** @throws Failure where the archive cannot be read */
  async run(signal: AbortSignal): Promise<void> {
    const { config, log, version } = this.#context;
    const { archive, audit, now = () => new Date() } = this.#needs;
    const read = partOfDay(dayAt(now().getTime()), NIGHTS);
    let named = 0;
    const needs = {
      archive,
      openAudit: async () => audit,
      openSigner: (aborted: AbortSignal) => openSigner(config, aborted),
      compared: comparedIn(config.archive),
      service: version,
      onFinding: (finding: ArchiveFinding) => {
        if ((named += 1) <= MOST_NAMED) this.#say(finding);
      },
    };
    const { survey, sealed, unwritten } = await verifyArchive({ days: undefined, read }, needs, signal);
    if (unwritten !== undefined) log.warn('What was verified could not be put on record.', { error: unwritten });
    const { recordings, bytes, read: reread, findings, states } = survey;
    this.#findings = findings;
    const figures = { recordings, bytes, read: reread, part: partText(read), sealed, findings };
    log.info('The archive was compared with its manifests.', { ...figures, states: Object.fromEntries(states) });
  }

  #say({ state, day, key, file, reason }: ArchiveFinding): void {
    const next = day === undefined ? 'archiver verify' : `archiver verify --from ${day} --to ${day}`;
    const facts = { state, day, key, file, reason, next };
    this.#context.log.error('Something in the archive is not as it was stored.', facts);
  }
}
