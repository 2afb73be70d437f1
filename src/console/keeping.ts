/** What holds and erasures from a page are done with. */
import type { Subject } from '../archive/names.ts';
import type { Audit } from '../audit/audit.ts';

export interface Keeping {
  readonly audit: Pick<Audit, 'record'>;
  /** Takes what was erased out of what lies beside the archive: queue and search. */
  readonly forgetBeside: (subjects: readonly Subject[]) => Promise<void>;
}
