/** A page that looks again every ten seconds and takes over what has changed: nothing else moves, and focus stays where it is. */
import { localTimes, serviceNow, toldNow } from './frame.ts';
import { saySignedOut } from './session.ts';

const EVERY_MS = 10_000;

/** `<live-page data-watch="/console/health.json">`: its `data-part`s are those of the page as it is now. */
class LivePage extends HTMLElement {
  #timer: ReturnType<typeof setInterval> | undefined;
  #etag: string | undefined;
  #isCutOff = false;

  connectedCallback(): void {
    const pause = this.querySelector<HTMLButtonElement>('[data-pause]');
    if (pause !== null) {
      pause.hidden = false;
      pause.addEventListener('click', () => this.#pause(pause));
    }
    this.#start();
  }

  disconnectedCallback(): void {
    clearInterval(this.#timer);
  }

  #start(): void {
    this.#timer = setInterval(() => void this.look(), EVERY_MS);
    void this.look();
  }

  #pause(button: HTMLButtonElement): void {
    const isPaused = button.getAttribute('aria-pressed') === 'true';
    button.setAttribute('aria-pressed', String(!isPaused));
    if (isPaused) this.#start();
    else clearInterval(this.#timer);
  }

  /** Looks once; a hidden page asks nobody. */
  async look(): Promise<void> {
    if (document.hidden) return;
    const headers = this.#etag === undefined ? {} : { 'If-None-Match': this.#etag };
    const answer = await fetch(this.dataset['watch'] ?? '', { headers, cache: 'no-store' }).catch(() => undefined);
    if (answer?.status === 401) return this.#signedOut();
    if (answer === undefined || (!answer.ok && answer.status !== 304)) return this.#cutOff();
    toldNow(answer.headers.get('Date'));
    const isFirst = this.#etag === undefined;
    const isNew = answer.status === 200;
    this.#etag = answer.headers.get('ETag') ?? undefined;
    // The page is what the service said last; its connection is free again once the answer was let go.
    void answer.body?.cancel().catch(() => undefined);
    if (isNew && !isFirst) await this.#takeOver();
    else if (this.#isCutOff) this.#say('');
    this.#isCutOff = false;
    const asOf = this.querySelector('#as-of time');
    if (asOf instanceof HTMLTimeElement && !this.#isStale()) asOf.dateTime = new Date(serviceNow()).toISOString();
    localTimes(this);
  }

  #signedOut(): void {
    clearInterval(this.#timer);
    saySignedOut({ stays: 'What is shown is what was known until now.', back: () => this.#start() });
  }

  #cutOff(): void {
    this.#isCutOff = true;
    this.#say('No connection; still trying.');
  }

  #isStale(): boolean {
    return this.querySelector('.stale') !== null;
  }

  /** The page is asked for as a document: no markup is ever made of a text here. */
  async #takeOver(): Promise<void> {
    const fresh = await documentAt(location.href);
    if (fresh === undefined) return;
    const verdict = this.querySelector('#verdict')?.textContent;
    const focused = document.activeElement?.id ?? '';
    for (const part of this.querySelectorAll<HTMLElement>('[data-part]')) {
      const other = fresh.querySelector(`[data-part="${part.dataset['part'] ?? ''}"]`);
      if (other !== null && other.innerHTML !== part.innerHTML) part.replaceWith(document.importNode(other, true));
    }
    if (focused !== '' && document.activeElement === document.body) document.getElementById(focused)?.focus();
    localTimes(this);
    const now = this.querySelector('#verdict')?.textContent;
    if (typeof now === 'string' && now !== verdict) this.#say(now);
  }

  #say(text: string): void {
    const said = this.querySelector('[data-said]');
    if (said !== null && said.textContent !== text) said.textContent = text;
  }
}

function documentAt(address: string): Promise<Document | undefined> {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open('GET', address);
    request.responseType = 'document';
    request.addEventListener('load', () =>
      resolve(request.status === 200 ? (request.responseXML ?? undefined) : undefined),
    );
    request.addEventListener('error', () => resolve(undefined));
    request.send();
  });
}

customElements.define('live-page', LivePage);
