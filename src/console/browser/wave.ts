/** Levels of one or two lanes → `<call-wave>`: a picture that is a slider. The first lane goes up, the second down; one alone goes both ways. */
import { clock, spoken } from './dom.ts';
import { type VoiceLane, type Stretch, speakingAt } from './speech.ts';

/** What is drawn besides the lanes. */
export interface WaveFacts {
  readonly lanes: readonly VoiceLane[];
  readonly names: readonly string[];
  readonly duration: number;
  readonly both: readonly Stretch[];
  readonly silences: readonly Stretch[];
}

const STEP_S = 5;
const SMALL_STEP_S = 1;
const PAGE_S = 30;
/** Quieter than this nothing is drawn. */
const FLOOR_DB = -50;
const BAR_PX = 3;
const GAP_PX = 1;

export class CallWave extends HTMLElement {
  readonly #canvas = document.createElement('canvas');
  #facts: WaveFacts = { lanes: [], names: [], duration: 0, both: [], silences: [] };
  #position = 0;
  #zoom = 1;
  #said = '';
  #gone = new AbortController();
  #colours: Colours | undefined;

  connectedCallback(): void {
    if (this.#canvas.isConnected) return;
    this.#canvas.setAttribute('aria-hidden', 'true');
    this.append(this.#canvas);
    this.tabIndex = 0;
    this.setAttribute('role', 'slider');
    this.setAttribute('aria-label', 'Position in the recording');
    this.setAttribute('aria-valuemin', '0');
    this.addEventListener('pointerdown', (event) => this.#drag(event));
    this.addEventListener('pointermove', (event) => event.buttons === 1 && this.#goTo(event));
    this.addEventListener('keydown', (event) => this.#key(event));
    this.#gone = new AbortController();
    this.#redraw(this.#gone.signal);
    this.draw();
  }

  disconnectedCallback(): void {
    this.#gone.abort();
  }

  /** Whenever size or colours change; what is watched outlives the element, so that the watching must not. */
  #redraw(signal: AbortSignal): void {
    const recolour = (): void => {
      this.#colours = undefined;
      this.draw();
    };
    const size = new ResizeObserver(() => this.draw());
    size.observe(this);
    const theme = new MutationObserver(recolour);
    theme.observe(document.documentElement, { attributeFilter: ['data-theme'] });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', recolour, { signal });
    signal.addEventListener('abort', () => {
      size.disconnect();
      theme.disconnect();
    });
  }

  set facts(facts: WaveFacts) {
    this.#facts = facts;
    this.setAttribute('aria-valuemax', String(Math.round(facts.duration)));
    this.draw();
  }

  get zoom(): number {
    return this.#zoom;
  }

  set zoom(zoom: number) {
    this.#zoom = zoom;
    this.draw();
  }

  get position(): number {
    return this.#position;
  }

  set position(seconds: number) {
    this.#position = seconds;
    this.draw();
  }

  /** What is in view: all of it, or a part around the position. */
  get view(): Stretch {
    const { duration } = this.#facts;
    const length = duration / this.#zoom;
    const start = Math.min(Math.max(0, this.#position - length / 2), duration - length);
    return { start, end: start + length };
  }

  draw(): void {
    this.#say();
    const { width, height } = this.getBoundingClientRect();
    const context = this.#canvas.getContext('2d');
    if (context === null || width === 0) return;
    const scale = devicePixelRatio;
    if (this.#canvas.width !== Math.round(width * scale) || this.#canvas.height !== Math.round(height * scale)) {
      this.#canvas.width = Math.round(width * scale);
      this.#canvas.height = Math.round(height * scale);
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    this.#paint(context, { width, height });
  }

  #paint(context: CanvasRenderingContext2D, size: PictureSize): void {
    const { lanes, both, silences } = this.#facts;
    const colours = (this.#colours ??= coloursOf(this));
    for (const span of silences) this.#band(context, span, { ...size, fill: colours.quiet });
    for (const span of both) this.#band(context, span, { ...size, fill: colours.both });
    context.fillStyle = colours.line;
    context.fillRect(0, size.height / 2 - 0.5, size.width, 1);
    for (const [index, lane] of lanes.entries()) {
      const [full, pale] = colours.lanes[index] ?? [colours.text, colours.line];
      const shape = lanes.length === 1 ? 'mirrored' : index === 0 ? 'up' : 'down';
      this.#bars(context, lane, { ...size, shape, full, pale });
    }
    const x = this.#x(this.#position, size.width);
    context.fillStyle = colours.text;
    context.fillRect(x - 1, 0, 2, size.height);
    context.beginPath();
    context.arc(x, 5, 5, 0, 2 * Math.PI);
    context.fill();
  }

  #band(
    context: CanvasRenderingContext2D,
    span: Stretch,
    { width, height, fill }: PictureSize & { readonly fill: string },
  ): void {
    const [from, to] = [this.#x(span.start, width), this.#x(span.end, width)];
    context.fillStyle = fill;
    context.fillRect(from, 10, Math.max(1, to - from), height - 20);
  }

  #bars(context: CanvasRenderingContext2D, { values }: VoiceLane, at: BarFacts): void {
    const { start, end } = this.view;
    const columns = Math.max(1, Math.floor(at.width / BAR_PX));
    for (let column = 0; column < columns; column += 1) {
      const from = start + ((end - start) * column) / columns;
      const to = start + ((end - start) * (column + 1)) / columns;
      const height = heightOf(values, { from, to }) * (at.height / 2 - 12);
      if (height <= 0) continue;
      context.fillStyle = from < this.#position ? at.full : at.pale;
      const middle = at.height / 2;
      const top = at.shape === 'down' ? middle + 1 : middle - 1 - height;
      const length = at.shape === 'mirrored' ? 2 * height + 2 : height;
      context.fillRect((column * at.width) / columns, top, BAR_PX - GAP_PX, length);
    }
  }

  #x(seconds: number, width: number): number {
    const { start, end } = this.view;
    return ((seconds - start) / Math.max(0.001, end - start)) * width;
  }

  #drag(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.setPointerCapture(event.pointerId);
    this.#goTo(event);
  }

  #goTo(event: PointerEvent): void {
    const { left, width } = this.getBoundingClientRect();
    const { start, end } = this.view;
    this.#seek(start + ((event.clientX - left) / width) * (end - start));
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const step = event.shiftKey ? SMALL_STEP_S : STEP_S;
    const { duration } = this.#facts;
    const targets: Readonly<Record<string, number>> = {
      ArrowLeft: this.#position - step,
      ArrowDown: this.#position - step,
      ArrowRight: this.#position + step,
      ArrowUp: this.#position + step,
      PageDown: this.#position - PAGE_S,
      PageUp: this.#position + PAGE_S,
      Home: 0,
      End: duration,
    };
    const target = targets[event.key];
    if (target === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.#seek(target);
  }

  #seek(seconds: number): void {
    const to = Math.min(Math.max(0, seconds), this.#facts.duration);
    this.dispatchEvent(new CustomEvent('seek', { detail: to }));
  }

  /** Once a second at most: a screen reader repeats whatever changes. */
  #say(): void {
    const { lanes, names, duration } = this.#facts;
    const at = Math.floor(this.#position);
    const speaking = speakingAt(lanes, this.#position).map((lane) => names[lane] ?? 'somebody');
    const who =
      lanes.length === 0
        ? ''
        : speaking.length === 0
          ? ', silence'
          : `, ${speaking.join(' and ')} speak${speaking.length === 1 ? 's' : ''}`;
    const text = `${spoken(at)} of ${spoken(duration)}${who}`;
    if (text === this.#said) return;
    this.#said = text;
    this.setAttribute('aria-valuenow', String(at));
    this.setAttribute('aria-valuetext', text);
    this.title = clock(at);
  }
}

interface PictureSize {
  readonly width: number;
  readonly height: number;
}

interface BarFacts extends PictureSize {
  readonly shape: 'up' | 'down' | 'mirrored';
  readonly full: string;
  readonly pale: string;
}

/** The loudest tenth of a time: 0 to 1. */
function heightOf(values: Uint8Array, { from, to }: { readonly from: number; readonly to: number }): number {
  let loudest = 0;
  const last = Math.min(values.length, Math.max(Math.ceil(to * 10), Math.floor(from * 10) + 1));
  for (let tenth = Math.floor(from * 10); tenth < last; tenth += 1) loudest = Math.max(loudest, values[tenth] ?? 0);
  if (loudest === 0) return 0;
  return Math.max(0, ((loudest - 255) / 4 - FLOOR_DB) / -FLOOR_DB);
}

interface Colours {
  readonly text: string;
  readonly line: string;
  readonly both: string;
  readonly quiet: string;
  /** Played, and still to come. */
  readonly lanes: readonly (readonly [string, string])[];
}

/** A canvas knows neither variables nor light-dark(): both are asked of the element that it stands in. */
function coloursOf(element: HTMLElement): Colours {
  const of = (name: string): string => {
    element.style.color = `var(--${name})`;
    const { color } = getComputedStyle(element);
    element.style.color = '';
    return color;
  };
  return {
    text: of('text'),
    line: of('line'),
    both: of('hatch'),
    quiet: of('line'),
    lanes: [
      [of('cus'), of('cus2')],
      [of('agt'), of('agt2')],
    ],
  };
}

customElements.define('call-wave', CallWave);
