/** A recording → a signed link, the same one again while more than half of its life is left. */
import { isWithin, type WallSpan } from '../../clock.ts';
import { pathOf } from '../../recording.ts';
import type { Link, LinkTerms } from '../archive.ts';
import { webmName } from '../names.ts';
import type { BucketClient } from './client.ts';
import type { LinkSigner } from './signer.ts';
import { recordingOf, type Manifest } from '../manifest.ts';

const MOST_LINKS = 2_000;
/** The longest a V4 signature may live. https://cloud.google.com/storage/docs/access-control/signed-urls */
const LONGEST_S = 604_800;
const LISTENING_S = 3_600;

export interface LinkRequest extends LinkTerms {
  readonly manifest: Manifest;
}

/** Signing costs up to three requests: whoever asks again gets his own link again, with the request it was made for. The links in here are bearer secrets and go nowhere but to who asked. */
export class LinkCache {
  readonly #signer: LinkSigner;
  readonly #client: BucketClient;
  readonly #links = new Map<string, { readonly link: Link; readonly fresh: WallSpan }>();

  constructor(signer: LinkSigner, client: BucketClient) {
    this.#signer = signer;
    this.#client = client;
  }

  async get(asked: LinkRequest, signal: AbortSignal): Promise<Link> {
    const lifetimeS = linkLifetimeS(asked.lifetimeS, asked.manifest.webm.durationMs);
    const key = `${pathOf(recordingOf(asked.manifest))} ${String(lifetimeS)} ${asked.who ?? ''}`;
    const known = this.#links.get(key);
    if (known !== undefined && isWithin(known.fresh)) return known.link;
    const fromMs = Date.now();
    const link = await this.#sign(asked, lifetimeS, signal);
    this.#keep(key, { link, fresh: { fromMs, untilMs: fromMs + lifetimeS * 500 } });
    return link;
  }

  async #sign({ manifest, who, requestId }: LinkRequest, lifetimeS: number, signal: AbortSignal): Promise<Link> {
    const recording = recordingOf(manifest);
    const expiresAt = new Date((Math.floor(Date.now() / 1000) + lifetimeS) * 1000);
    const url = await this.#signer.sign(
      {
        name: this.#client.fullName(webmName(recording)),
        expiresAt,
        contentType: manifest.webm.contentType,
        // Ids hold nothing that would need quoting.
        disposition: `inline; filename="${recording.recordingId}.webm"`,
        audited: {
          ...(who === undefined ? {} : { user: who }),
          ...(requestId === undefined ? {} : { request: requestId }),
        },
      },
      signal,
    );
    return { url, expiresAt: expiresAt.toISOString() };
  }

  /** The oldest go first. */
  #keep(key: string, entry: { readonly link: Link; readonly fresh: WallSpan }): void {
    this.#links.delete(key);
    this.#links.set(key, entry);
    const [oldest] = this.#links.keys();
    if (this.#links.size > MOST_LINKS && oldest !== undefined) this.#links.delete(oldest);
  }
}

/** As asked, but long enough to listen to the end with pauses (1.5 times the recording, an hour at most for that). */
export function linkLifetimeS(askedS: number, durationMs: number): number {
  const listeningS = Math.min(LISTENING_S, Math.ceil((1.5 * durationMs) / 1000));
  return Math.min(LONGEST_S, Math.max(Math.ceil(askedS), listeningS));
}
