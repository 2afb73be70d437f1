/** Single keys that act where no field has the focus, the list of them behind `?`, and a switch that turns them off (WCAG 2.1.4). */
import { make } from './dom.ts';

interface KeyAct {
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

/** The last one that asks for a key has it. */
export function onKey(keys: string | readonly string[], does: string, act: KeyAct['act']): void {
  for (const key of typeof keys === 'string' ? [keys] : keys) acts.set(key, { does, act });
}

function areSingleKeysOff(): boolean {
  return localStorage.getItem(OFF) === 'yes';
}

function isField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) return !['checkbox', 'button', 'submit'].includes(target.type);
  return target.isContentEditable || target.matches('select, textarea');
}

/** A space presses a button, and Enter follows a link. */
function isPressed({ key, target }: KeyboardEvent): boolean {
  const presses = key === ' ' ? 'button, summary, input, [role=slider]:not(call-wave)' : 'button, summary, a, input';
  return (key === ' ' || key === 'Enter') && target instanceof HTMLElement && target.matches(presses);
}

document.addEventListener('keydown', (event) => {
  const { key, ctrlKey, altKey, metaKey, target } = event;
  if (event.defaultPrevented || ctrlKey || altKey || metaKey || isField(target) || isPressed(event)) return;
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

onKey('?', 'show these keys', showKeys);
