/** A page that looks again every ten seconds and takes over what has changed: nothing else moves, and focus stays where it is. */
import { askForPage } from './dom.ts';
import { localTimes, serviceNow, toldNow } from './frame.ts';
import { saySignedOut } from './session.ts';

const EVERY_MS = 10_000;

/**
 * `<live-page data-watch="/console/health.json">`: its `data-part`s are those of the page as it is now. One that stands in such a
 * part itself waits for what is away (`data-etag` is what it saw), and takes over that part alone.
 */
class LivePage extends HTMLElement {
  #timer: ReturnType<typeof setInterval> | undefined;
  #etag: string | undefined;

  connectedCallback(): void {
    this.#etag = this.dataset['etag'];
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
    if (answer?.status === 401) {
      clearInterval(this.#timer);
      return saySignedOut({ stays: 'What is shown is what was known until now.', back: () => this.#start() });
    }
    if (answer === undefined || (!answer.ok && answer.status !== 304)) return this.#say('No connection; still trying.');
    toldNow(answer.headers.get('Date'));
    const seen = this.#etag;
    this.#etag = answer.headers.get('ETag') ?? undefined;
    // The page is what the service said last; its connection is free again once the answer was let go.
    void answer.body?.cancel().catch(() => undefined);
    if (answer.status === 200 && seen !== undefined) {
      if (!(await this.#takeOver())) this.#etag = seen;
    } else this.#say('');
    const asOf = this.querySelector('#as-of time');
    if (asOf instanceof HTMLTimeElement && this.querySelector('.stale') === null)
      asOf.dateTime = new Date(serviceNow()).toISOString();
    localTimes(this);
  }

  /** False where there is no such page now: it is asked for again. */
  async #takeOver(): Promise<boolean> {
    const { status, response: fresh } = await askForPage(location.href);
    if (status !== 200 || !(fresh instanceof Document)) return false;
    const mine = this.closest<HTMLElement>('[data-part]');
    const verdict = this.querySelector('#verdict')?.textContent;
    const focused = document.activeElement;
    for (const part of mine === null ? this.querySelectorAll<HTMLElement>('[data-part]') : [mine]) {
      const other = fresh.querySelector(`[data-part="${part.dataset['part'] ?? ''}"]`);
      // A page that could not be shown at all.
      if (other === null && mine !== null) location.reload();
      if (other !== null && other.innerHTML !== part.innerHTML) part.replaceWith(document.importNode(other, true));
    }
    if (focused !== null && !focused.isConnected) refind(focused);
    localTimes(document);
    const now = mine === null ? this.querySelector('#verdict')?.textContent : 'It is of now again.';
    if (now != null && now !== verdict) this.#say(now);
    return true;
  }

  #say(text: string): void {
    const said = document.querySelector('[data-said]');
    if (said !== null && said.textContent !== text) said.textContent = text;
  }
}

/** The focus goes on in what came in the place of what had it. */
function refind(gone: Element): void {
  const same = `[id="${gone.id}"], [href="${gone.getAttribute('href') ?? ''}"]`;
  document.querySelector<HTMLElement>(same)?.focus();
}

customElements.define('live-page', LivePage);
