/** What is to be erased → what of it lies there, and how its erasure ended. */
import type { Subject } from './names.ts';

/** What lies there of something that is to be erased, old versions included. */
export interface Remains {
  readonly objects: number;
  readonly sizeBytes: number;
  /** One of them carries a hold, whoever set it. */
  readonly isHeld: boolean;
  /** A lock or a retention policy keeps the last of them until then; ISO 8601, UTC. */
  readonly retainedUntil: string | undefined;
  /** Asked where nothing lies there: what was removed can be restored until then (soft delete); ISO 8601, UTC. */
  readonly recoverableUntil: string | undefined;
  /** UTC days it is listed or indexed under, as far as what lies there tells. */
  readonly days: readonly string[];
  /** SHA-256, hex, of its manifest.json, byte for byte. */
  readonly manifestSha256: string | undefined;
}

/** How an erasure ended. */
export type Erasure =
  | { readonly state: 'gone' }
  /** Removed, but Cloud Storage can restore it until then: it is not erased before. */
  | { readonly state: 'recoverable'; readonly until: string }
  /** Nothing was removed: a hold, a lock or a retention policy keeps it. */
  | { readonly state: 'kept' };

/** `days` are known from elsewhere: an erasure that was begun, a listing. */
export interface Removable {
  readonly subject: Subject;
  readonly days: readonly string[];
  /** An earlier run has removed its manifest: no hold comes in time any more. */
  readonly isBegun?: boolean;
}
