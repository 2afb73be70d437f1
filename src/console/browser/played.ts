/** What a media element plays → claims of it to the service, every half minute and when the page is left. */

const EVERY_S = 30;
/** Of one step of the clock; more is a jump. */
const STEP_S = 1.5;

export class PlayedClaims {
  readonly #media: HTMLMediaElement;
  readonly #url: string;
  readonly #token: string;
  readonly #gone = new AbortController();
  #from: number | undefined;
  #to = 0;

  constructor(media: HTMLMediaElement, { url, token }: { readonly url: string; readonly token: string }) {
    this.#media = media;
    this.#url = url;
    this.#token = token;
    const { signal } = this.#gone;
    media.addEventListener('timeupdate', () => this.#note(), { signal });
    for (const name of ['pause', 'ended', 'seeking']) media.addEventListener(name, () => this.send(), { signal });
    addEventListener('pagehide', () => this.send(), { signal });
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
    const from = this.#from;
    this.#from = undefined;
    if (from === undefined || this.#to <= from) return;
    navigator.sendBeacon(
      this.#url,
      new URLSearchParams({ token: this.#token, from: from.toFixed(1), to: this.#to.toFixed(1) }),
    );
  }
}
