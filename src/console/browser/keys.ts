/** Single keys that act where no field has the focus, the list of them behind `?`, and a switch that turns them off (WCAG 2.1.4). */
import { make } from './dom.ts';

export interface KeyAct {
  /** What `?` says of it. */
  readonly does: string;
  /** Where something else is meant by it just then, false: the key goes on. */
  readonly act: (event: KeyboardEvent) => boolean | void;
}

const OFF = 'archiver-keys-off';
const acts = new Map<string, KeyAct>();
/** As `?` shows them. */
const SHOWN: Readonly<Record<string, string>> = {
  ' ': 'Space',
  ArrowLeft: '←',
  ArrowRight: '→',
  ArrowUp: '↑',
  ArrowDown: '↓',
  Escape: 'Esc',
};

/** The last one that asks for a key has it, until `signal` aborts. */
export function onKey(keys: string | readonly string[], asked: KeyAct, signal?: AbortSignal): void {
  for (const key of typeof keys === 'string' ? [keys] : keys) {
    const own = { ...asked };
    acts.set(key, own);
    signal?.addEventListener('abort', () => acts.get(key) === own && acts.delete(key));
  }
}

function areSingleKeysOff(): boolean {
  try {
    return localStorage.getItem(OFF) === 'yes';
  } catch {
    // Whoever keeps nothing of a site has keys that act.
    return false;
  }
}

const TYPED_IN = 'select, textarea, input:not([type=checkbox], [type=radio], [type=button], [type=submit])';

/** What a key does there by itself: it writes or chooses, a space presses a button, Enter follows a link, arrows move a choice. */
function isTaken({ key, target }: KeyboardEvent): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target.matches(TYPED_IN)) return true;
  if (key === ' ') return target.matches('button, summary, input');
  if (key === 'Enter') return target.matches('button, summary, a, input');
  return key.startsWith('Arrow') && target.matches('input[type=radio]');
}

document.addEventListener('keydown', (event) => {
  const { key, ctrlKey, altKey, metaKey } = event;
  if (event.defaultPrevented || ctrlKey || altKey || metaKey || isTaken(event)) return;
  const isSingle = key.length === 1;
  if (isSingle && areSingleKeysOff() && key !== '?') return;
  const found = acts.get(key) ?? acts.get(key.toLowerCase());
  if (found === undefined || document.querySelector('dialog[open]') !== null) return;
  if (found.act(event) !== false) event.preventDefault();
});

function showKeys(): void {
  const off = make('input', { type: 'checkbox' });
  off.checked = !areSingleKeysOff();
  off.addEventListener('change', () => localStorage.setItem(OFF, off.checked ? 'no' : 'yes'));
  const grouped = Map.groupBy(acts, ([, { does }]) => does);
  const rows = [...grouped].map(([does, keys]) =>
    make(
      'tr',
      {},
      make('th', { scope: 'row' }, ...keys.flatMap(([key]) => [make('kbd', {}, SHOWN[key] ?? key.toUpperCase()), ' '])),
      make('td', {}, does),
    ),
  );
  const close = make('button', { type: 'button', class: 'btn' }, 'Close');
  const dialog = make(
    'dialog',
    { class: 'card keys', 'aria-labelledby': 'keys-title' },
    make('h2', { id: 'keys-title' }, 'Keys'),
    make('table', {}, make('tbody', {}, ...rows)),
    make('label', { class: 'sw' }, off, ' Single keys act'),
    close,
  );
  close.addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

onKey('?', { does: 'show these keys', act: showKeys });
