/** Screen recordings of a call → one at a time beside its voice, in step with it. */
import { make } from './dom.ts';
import { ScreenSync } from './sync.ts';

export class Screens {
  readonly #voice: HTMLMediaElement;
  readonly #figures: readonly HTMLElement[];
  #chosen = 0;
  #isBegun = false;
  #sync: ScreenSync | undefined;

  constructor(voice: HTMLMediaElement, figures: readonly HTMLElement[], signal: AbortSignal) {
    this.#voice = voice;
    this.#figures = figures;
    if (figures.length > 1) figures[0]?.before(this.#choice());
    for (const figure of figures) this.#prepare(figure, signal);
    this.#show(0);
    // Its bytes are asked for once it plays: nothing is heard or seen by looking at a page.
    voice.addEventListener('play', () => this.#begin(), { signal });
  }

  stop(): void {
    this.#sync?.stop();
  }

  #choice(): HTMLElement {
    const choice = make('fieldset', { class: 'seg' }, make('legend', { class: 'vh' }, 'Screen'));
    for (const index of this.#figures.keys()) {
      const input = make('input', { type: 'radio', name: 'screen', checked: index === 0 });
      input.addEventListener('change', () => this.#show(index));
      choice.append(make('label', {}, input, String(index + 1)));
    }
    return choice;
  }

  #prepare(figure: HTMLElement, signal: AbortSignal): void {
    const video = figure.querySelector('video');
    if (video === null) return;
    video.controls = false;
    const missing = make('span', { hidden: true }, ' · cannot be shown just now');
    figure.querySelector('figcaption')?.append(missing);
    video.addEventListener('error', () => (missing.hidden = false), { signal });
    video.addEventListener('loadedmetadata', () => (missing.hidden = true), { signal });
    // Whoever tries the voice again tries the screen again.
    this.#voice.addEventListener('loadstart', () => video.error !== null && video.load(), { signal });
  }

  #begin(): void {
    if (this.#isBegun) return;
    this.#isBegun = true;
    this.#follow();
  }

  #show(chosen: number): void {
    this.#chosen = chosen;
    for (const [index, figure] of this.#figures.entries()) figure.hidden = index !== chosen;
    if (this.#isBegun) this.#follow();
  }

  #follow(): void {
    this.#sync?.stop();
    const video = this.#figures[this.#chosen]?.querySelector('video');
    if (video == null) return;
    video.preload = 'auto';
    this.#sync = new ScreenSync(this.#voice, video);
  }
}
