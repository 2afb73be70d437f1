/** What a media element plays → claims of it to the service, every half minute and when the page is left. */

const EVERY_S = 30;
/** Of one step of the clock; more is a jump. */
const STEP_S = 1.5;

interface ClaimFacts {
  readonly url: string;
  readonly token: string;
  /** The session has ended while somebody listens. */
  readonly signedOut: () => void;
}

/** Kept while nobody is signed in or nobody answers; more is hours of it. */
const MOST_KEPT = 200;

export class PlayedClaims {
  readonly #media: HTMLMediaElement;
  readonly #facts: ClaimFacts;
  #kept: URLSearchParams[] = [];
  readonly #gone = new AbortController();
  #from: number | undefined;
  #to = 0;

  constructor(media: HTMLMediaElement, facts: ClaimFacts) {
    this.#media = media;
    this.#facts = facts;
    const { signal } = this.#gone;
    media.addEventListener('timeupdate', () => this.#note(), { signal });
    for (const name of ['pause', 'seeking']) media.addEventListener(name, () => this.send(), { signal });
    addEventListener('pagehide', () => this.#leave(), { signal });
    document.addEventListener('visibilitychange', () => document.hidden && this.send(), { signal });
  }

  stop(): void {
    this.send();
    this.#gone.abort();
  }

  #note(): void {
    const { currentTime, paused, seeking, playbackRate } = this.#media;
    if (paused || seeking) return;
    const goesOn =
      this.#from !== undefined && currentTime >= this.#to && currentTime - this.#to < STEP_S * playbackRate;
    if (!goesOn) {
      this.send();
      this.#from = currentTime;
    }
    this.#to = currentTime;
    if (this.#to - (this.#from ?? this.#to) >= EVERY_S) this.send();
  }

  send(): void {
    const claim = this.#claim();
    if (claim !== undefined) void this.#post(claim);
  }

  /** Signed in or answered again: what was heard before is told after all. */
  resend(): void {
    const kept = this.#kept;
    this.#kept = [];
    for (const claim of kept) void this.#post(claim);
  }

  /** Nobody waits for an answer any more. */
  #leave(): void {
    for (const claim of [...this.#kept, this.#claim()])
      if (claim !== undefined) navigator.sendBeacon(this.#facts.url, claim);
  }

  #claim(): URLSearchParams | undefined {
    const from = this.#from;
    this.#from = undefined;
    if (from === undefined || this.#to <= from) return undefined;
    return new URLSearchParams({ token: this.#facts.token, from: from.toFixed(1), to: this.#to.toFixed(1) });
  }

  async #post(claim: URLSearchParams): Promise<void> {
    const { url, signedOut } = this.#facts;
    const answer = await fetch(url, { method: 'POST', body: claim, keepalive: true }).catch(() => undefined);
    const status = answer?.status ?? 503;
    if (status === 200) return this.resend();
    if ((status === 401 || status > 499) && this.#kept.length < MOST_KEPT) this.#kept.push(claim);
    if (status === 401) signedOut();
  }
}
