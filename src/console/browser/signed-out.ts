/** A session that ended while a page was open → a dialog over the page, which stays as it is and goes on once somebody has signed in. */
import { make } from './dom.ts';

interface SignedOutFacts {
  /** What stays as it is meanwhile, as a sentence. */
  readonly stays: string;
  /** Signed in again, as the same person. */
  readonly back: () => void;
}

let shown: HTMLDialogElement | undefined;

/** Once, however many parts of a page notice it. */
export function saySignedOut({ stays, back }: SignedOutFacts): void {
  const backs = (event: Event): void => void (event.type === 'close' ? gone() : look());
  const gone = (): void => {
    shown?.remove();
    shown = undefined;
    removeEventListener('focus', backs);
    document.removeEventListener('visibilitychange', backs);
  };
  const look = async (): Promise<void> => {
    const now = document.hidden ? undefined : await whoIsIn();
    if (now === undefined || shown === undefined) return;
    if (now !== personOfPage()) return location.reload();
    shown.close();
    back();
  };
  if (shown !== undefined) return;
  const here = location.pathname + location.search;
  const link = make('a', { class: 'btn pri', href: here, target: '_blank', rel: 'noopener' }, 'Sign in');
  const stay = make('button', { type: 'button', class: 'btn' }, 'Stay here');
  shown = make(
    'dialog',
    { class: 'card', 'aria-labelledby': 'signed-out' },
    make('h2', { id: 'signed-out' }, 'You are signed out'),
    make('p', {}, `Sign in in another tab, then come back to this one. ${stays}`),
    make('p', { class: 'acts' }, link, stay),
  );
  stay.addEventListener('click', () => shown?.close());
  shown.addEventListener('close', backs);
  addEventListener('focus', backs);
  document.addEventListener('visibilitychange', backs);
  document.body.append(shown);
  shown.showModal();
}

/** undefined where nobody is, or nobody can tell. */
async function whoIsIn(): Promise<string | undefined> {
  const answer = await askWho();
  if (answer?.ok !== true) return undefined;
  const told: unknown = await answer.json();
  return typeof told === 'object' && told !== null && 'id' in told ? String(told.id) : undefined;
}

export async function isSignedOut(): Promise<boolean> {
  return (await askWho())?.status === 401;
}

function askWho(): Promise<Response | undefined> {
  return fetch('/console/who.json', { cache: 'no-store' }).catch(() => undefined);
}

/** Forms and what is shown are theirs. */
function personOfPage(): string | undefined {
  return document.querySelector('.me .id')?.textContent.trim();
}
