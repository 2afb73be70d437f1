/** The session of a page that stays open: its end is said in time and put off by one key, and once it is over the page stays as it is until somebody has signed in. */
import { make } from './dom.ts';
import { serviceNow } from './frame.ts';

/** Before its end. */
const WARN_MS = 5 * 60_000;
/** After it: clocks count in seconds. */
const OVER_MS = 2_000;
/** Where nobody could tell. */
const AGAIN_MS = 60_000;
/** For an answer: whoever pressed a button is told by then. */
const ANSWER_MS = 10_000;

interface SignedIn {
  readonly id: string;
  /** Milliseconds since 1970, by the clock of the service; NaN where it has no end. */
  readonly endsAtMs: number;
  readonly isFinal: boolean;
  /** Why it ends, and what to do. */
  readonly because: string;
}

/** undefined where nobody can tell just now. */
async function whoIsIn(path = 'who.json', request: RequestInit = {}): Promise<SignedIn | 'nobody' | undefined> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const answer = await fetch(`/console/${path}`, { cache: 'no-store', signal, ...request }).catch(() => undefined);
  const told: unknown = answer?.ok === true ? await answer.json().catch(() => undefined) : undefined;
  if (answer?.status === 401) return 'nobody';
  if (
    typeof told !== 'object' ||
    told === null ||
    !('id' in told && 'ends' in told && 'isFinal' in told && 'because' in told)
  )
    return undefined;
  const { id, ends, isFinal, because } = told;
  return { id: String(id), endsAtMs: Date.parse(String(ends)), isFinal: isFinal === true, because: String(because) };
}

export async function isSignedOut(): Promise<boolean> {
  return (await whoIsIn()) === 'nobody';
}

/** Forms and what is shown are theirs. */
function personOfPage(): string | undefined {
  return document.querySelector('.me .id')?.textContent.trim();
}

interface Notice {
  readonly title: string;
  readonly words: string;
  readonly acts: readonly [HTMLElement, HTMLElement];
  readonly role?: string;
}

/** Over the page; the second of its acts closes it, as Escape does. */
function notice({ title, words, acts, role }: Notice): HTMLDialogElement {
  const shown = make(
    'dialog',
    { class: 'card', role: role ?? false, 'aria-labelledby': 'notice', 'aria-describedby': 'words' },
    make('h2', { id: 'notice' }, title),
    make('p', { id: 'words' }, words),
    make('p', { class: 'acts' }, ...acts),
  );
  acts[1].addEventListener('click', () => shown.close());
  shown.addEventListener('close', () => shown.remove());
  document.body.append(shown);
  shown.showModal();
  return shown;
}

function act(text: string): HTMLButtonElement {
  return make('button', { type: 'button', class: 'btn' }, text);
}

function signInLink(text: string, href: string): HTMLElement {
  return make('a', { class: 'btn pri', href, target: '_blank', rel: 'noopener' }, text);
}

function pageHere(): string {
  return location.pathname + location.search;
}

interface SignedOutFacts {
  /** What stays as it is meanwhile, as a sentence. */
  readonly stays: string;
  /** Signed in again, as the same person. */
  readonly back: () => void;
}

let signedOut: HTMLDialogElement | undefined;

/** Once, however many parts of a page notice it. */
export function saySignedOut({ stays, back }: SignedOutFacts): void {
  if (signedOut !== undefined) return;
  const gone = new AbortController();
  const look = async (): Promise<void> => {
    const now = document.hidden ? undefined : await whoIsIn();
    if (now === undefined || now === 'nobody' || signedOut === undefined) return;
    if (now.id !== personOfPage()) return location.reload();
    signedOut.close();
    back();
  };
  signedOut = notice({
    title: 'You are signed out',
    words: `Sign in in another tab, then come back to this one. ${stays}`,
    acts: [signInLink('Sign in', pageHere()), act('Stay here')],
  });
  signedOut.addEventListener('close', () => {
    signedOut = undefined;
    gone.abort();
  });
  const { signal } = gone;
  addEventListener('focus', () => void look(), { signal });
  document.addEventListener('visibilitychange', () => void look(), { signal });
}

/** One timer at a time, for the next thing that can be said. */
class EndWatch {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #warning: HTMLDialogElement | undefined;
  /** The end that was warned of: once is enough. */
  #said = NaN;

  waitFor(endsAtMs: number): void {
    const left = endsAtMs - serviceNow();
    this.#lookIn(this.#said === endsAtMs ? left + OVER_MS : left - WARN_MS);
  }

  /** It may have been put off in another tab, or by what plays here. */
  async look(): Promise<void> {
    const now = await whoIsIn();
    if (now === undefined) return this.#lookIn(AGAIN_MS);
    if (now === 'nobody') return this.#over();
    if (now.id !== personOfPage()) return location.reload();
    if (now.endsAtMs !== this.#said) {
      this.#warning?.close();
      if (now.endsAtMs - serviceNow() <= WARN_MS + OVER_MS) this.#warn(now);
    }
    this.waitFor(now.endsAtMs);
  }

  #lookIn(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.look(), Math.max(OVER_MS, ms));
  }

  #over(): void {
    clearTimeout(this.#timer);
    this.#warning?.close();
    saySignedOut({ stays: 'The page stays as it is.', back: () => void this.look() });
  }

  /** What puts it off has the focus: Enter is enough. */
  #warn({ endsAtMs, isFinal, because }: SignedIn): void {
    this.#said = endsAtMs;
    const minutes = Math.max(1, Math.round((endsAtMs - serviceNow()) / 60_000));
    this.#warning = notice({
      title: 'You will be signed out',
      role: 'alertdialog',
      words: `In ${minutes === 1 ? 'a minute' : `${String(minutes)} minutes`}: ${because}`,
      acts: [
        isFinal
          ? signInLink('Sign in again', `/console/sign-in?to=${encodeURIComponent(pageHere())}`)
          : this.#stayButton(),
        act('Not now'),
      ],
    });
  }

  #stayButton(): HTMLElement {
    const stay = act('Stay signed in');
    stay.classList.add('pri');
    stay.addEventListener('click', () => void this.#putOff());
    return stay;
  }

  async #putOff(): Promise<void> {
    const token = document.querySelector<HTMLInputElement>('.me input[name=token]')?.value ?? '';
    const now = await whoIsIn('stay', { method: 'POST', body: new URLSearchParams({ token }) });
    if (now === 'nobody') return this.#over();
    if (now !== undefined) {
      this.#warning?.close();
      return this.waitFor(now.endsAtMs);
    }
    const said = document.getElementById('words');
    said?.setAttribute('role', 'alert');
    said?.replaceChildren('The service does not answer; try again.');
  }
}

const endsAtMs = Date.parse(document.documentElement.dataset['ends'] ?? '');
if (!Number.isNaN(endsAtMs)) {
  const end = new EndWatch();
  end.waitFor(endsAtMs);
  // A machine that slept has slept through its timers.
  document.addEventListener('visibilitychange', () => document.hidden || void end.look());
}
