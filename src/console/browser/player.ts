/** `<call-player>`: the browser's own player, as the server sent it → one with the picture of who speaks, moments, sides, speeds and screens. */
import { clock, icon, make, spoken } from './dom.ts';
import { type KeyAct, onKey } from './keys.ts';
import { PlayedClaims } from './played.ts';
import { Screens } from './screens.ts';
import { Sides } from './sides.ts';
import { saySignedOut } from './session.ts';
import { type VoiceLane, lanesIn, type Moment, momentsOf, lengthOfAll, skipsOf, type Stretch } from './speech.ts';
import { CallWave } from './wave.ts';

const PLAY = 'M6 4l11 6l-11 6z';
const PAUSE = 'M5 4h3.5v12H5zM11.5 4H15v12h-3.5z';
const BACK = 'M10 5L5 10l5 5M16 5l-5 5l5 5';
const ON = 'M10 5l5 5l-5 5M4 5l5 5l-5 5';
const SPEEDS = [0.75, 1, 1.25, 1.5, 1.75, 2] as const;
const ZOOMS = [1, 4, 16] as const;
const JUMP_S = 5;
/** Going back to the moment one is in is meant for the one before. */
const JUST_S = 1.5;
/** A mark that is nearer to the one before would lie on it. */
const MARK_PX = 26;
/** What is nearer to the end would be cut off. */
const TICK_PX = 18;
/** Levels may be on their way. */
const ASK_AGAIN_MS = 5_000;
const ASKS = 6;
/** Of what does not come sooner it is said that it is on its way. */
const QUIET_MS = 1_000;
const LOADING = 'Loading';

export class CallPlayer extends HTMLElement {
  readonly wave = new CallWave();
  #media: HTMLMediaElement | undefined;
  #sides: Sides | undefined;
  #claims: PlayedClaims | undefined;
  #screens: Screens | undefined;
  #lanes: readonly VoiceLane[] = [];
  #moments: readonly Moment[] = [];
  #skips: readonly Stretch[] = [];
  /** Moments that stand under the picture, in the order they come. */
  #shown: ReadonlyMap<Moment, HTMLElement> = new Map();
  #frame = 0;
  #waiting: ReturnType<typeof setTimeout> | undefined;
  readonly #gone = new AbortController();
  readonly #play = make('button', { type: 'button', class: 'play', 'aria-label': 'Play' }, icon(PLAY));
  readonly #clock = make('span', { class: 'clock num' });
  readonly #said = make('p', { class: 'small muted', role: 'status' });
  readonly #marks = make('div', { class: 'marks' });
  readonly #ticks = make('div', { class: 'ticks', 'aria-hidden': 'true' });
  readonly #labels = make('div', { class: 'labs' });
  readonly #skip = make('input', { type: 'checkbox' });
  readonly #saves = make('span', {}, 'Skip silence');
  readonly #speed = make('select', { class: 'sel-f sp', 'aria-label': 'Speed' });
  readonly #zoom = make('select', { class: 'sel-f sp', 'aria-label': 'Zoom' });

  connectedCallback(): void {
    const media = this.querySelector<HTMLMediaElement>('.main');
    if (media === null || this.#media !== undefined) return;
    this.#media = media;
    this.#sides = new Sides(media);
    this.#claims = new PlayedClaims(media, {
      url: this.#given('played'),
      token: this.#given('token'),
      signedOut: () => this.#signedOut(),
    });
    if (media instanceof HTMLAudioElement) media.controls = false;
    this.#build(media);
    this.#listen(media);
    this.#useKeys();
    this.#offerScreens(media);
    this.#useSession(media);
    this.#startAt(startIn(location.hash));
    void this.#loadLevels(0);
  }

  disconnectedCallback(): void {
    this.#claims?.stop();
    this.#gone.abort();
    this.#screens?.stop();
    this.#sides?.close();
    cancelAnimationFrame(this.#frame);
    for (const media of this.querySelectorAll<HTMLMediaElement>('audio, video')) letGo(media);
  }

  get duration(): number {
    const measured = this.#media?.duration ?? NaN;
    return Number.isFinite(measured) && measured > 0 ? measured : Number(this.#given('duration'));
  }

  get position(): number {
    return this.#media?.currentTime ?? 0;
  }

  /** Also before anything is loaded: there it begins. */
  set position(seconds: number) {
    if (this.#media === undefined) return;
    this.#media.currentTime = Math.min(Math.max(0, seconds), this.duration);
    this.#show();
  }

  /** Of an address; a moment that the recording does not have is said to be none. */
  #startAt(seconds: number): void {
    const isBehind = seconds >= this.duration;
    this.position = isBehind ? 0 : seconds;
    if (isBehind && seconds > 0)
      this.#say(`The link leads to ${clock(seconds)}, behind the end: it begins at the beginning.`);
  }

  /** For whoever measures what is heard. */
  get heard(): Sides['heard'] {
    return this.#sides?.heard;
  }

  focusPlay(): void {
    this.#play.focus();
  }

  #given(name: string): string {
    return this.dataset[name] ?? '';
  }

  get #names(): readonly string[] {
    return this.#given('lanes')
      .split('\n')
      .filter((name) => name !== '');
  }

  #build(media: HTMLMediaElement): void {
    const previous = this.#button('Previous moment', BACK, () => this.#toMoment(-1));
    const next = this.#button('Next moment', ON, () => this.#toMoment(1));
    for (const speed of SPEEDS)
      this.#speed.append(make('option', { value: speed, selected: speed === 1 }, `${String(speed)}×`));
    for (const zoom of ZOOMS)
      this.#zoom.append(make('option', { value: zoom }, zoom === 1 ? 'Whole' : `${String(zoom)}× near`));
    this.#speed.addEventListener('change', () => this.#setSpeed(Number(this.#speed.value)));
    this.#zoom.addEventListener('change', () => this.#setZoom(Number(this.#zoom.value)));
    this.#play.addEventListener('click', () => this.#toggle());
    this.wave.addEventListener(
      'seek',
      (event) => event instanceof CustomEvent && (this.position = Number(event.detail)),
    );
    const wave = make(
      'div',
      { class: 'wave' },
      make('div', { class: 'lanes' }, this.#labels, this.wave),
      this.#marks,
      this.#ticks,
    );
    const controls = make(
      'div',
      { class: 'ctl' },
      this.#play,
      this.#clock,
      previous,
      next,
      this.#speed,
      this.#zoom,
      ...(this.#names.length > 1 ? [this.#sideChoice()] : []),
      // Last: once it says how much it saves it is longer, and nothing else moves.
      make('label', { class: 'sw' }, this.#skip, this.#saves),
    );
    media.after(wave, controls, this.#said);
    const link = this.closest('article')?.querySelector<HTMLElement>('[data-act=link]');
    if (link != null) {
      link.hidden = false;
      link.addEventListener('click', () => void this.#copyLink(), { signal: this.#gone.signal });
    }
    this.#showLanes();
  }

  #button(name: string, path: string, act: () => void): HTMLButtonElement {
    const button = make('button', { type: 'button', class: 'ib', 'aria-label': name }, icon(path));
    button.addEventListener('click', act);
    return button;
  }

  #sideChoice(): HTMLElement {
    const group = make('fieldset', { class: 'seg' }, make('legend', { class: 'vh' }, 'Hear'));
    for (const [index, name] of ['Both', ...this.#names].entries()) {
      const input = make('input', { type: 'radio', name: 'side', value: index, checked: index === 0 });
      input.addEventListener('change', () => this.#sides?.choose(index === 0 ? undefined : index - 1));
      group.append(make('label', {}, input, name));
    }
    return group;
  }

  #hear(choice: number): void {
    const input = this.querySelector<HTMLInputElement>(`input[name=side][value="${String(choice)}"]`);
    if (input === null) return;
    input.checked = true;
    input.dispatchEvent(new Event('change'));
    this.#say(`Hearing ${input.parentElement?.textContent?.toLowerCase() ?? ''}`);
  }

  #listen(media: HTMLMediaElement): void {
    const { signal } = this.#gone;
    const on = (name: string, act: () => void): void => media.addEventListener(name, act, { signal });
    for (const name of ['timeupdate', 'seeked', 'loadedmetadata', 'durationchange']) on(name, () => this.#show());
    for (const name of ['play', 'pause']) on(name, () => this.#showState());
    on('playing', () => this.#tick());
    for (const name of ['waiting', 'playing', 'pause', 'error']) on(name, () => this.#waitFor(name !== 'waiting'));
    on('error', () => void this.#broke(media));
    addEventListener('hashchange', () => location.hash.includes('t=') && this.#startAt(startIn(location.hash)), {
      signal,
    });
  }

  /** It was told to play, and nothing is heard. */
  #waitFor(isOver: boolean): void {
    clearTimeout(this.#waiting);
    if (!isOver) this.#waiting = setTimeout(() => this.#say(LOADING), QUIET_MS);
    else if (this.#said.textContent === LOADING) this.#say('');
  }

  /** While it plays, each frame: a silence is left within a hundredth of a second. */
  #tick(): void {
    cancelAnimationFrame(this.#frame);
    const step = (): void => {
      const media = this.#media;
      if (media === undefined || media.paused) return;
      this.#leaveSilence(media);
      this.wave.position = media.currentTime;
      this.#frame = requestAnimationFrame(step);
    };
    step();
  }

  #leaveSilence(media: HTMLMediaElement): void {
    if (!this.#skip.checked || media.seeking) return;
    const at = media.currentTime;
    const span = this.#skips.find(({ start, end }) => at >= start && at < end - 0.05);
    if (span !== undefined) media.currentTime = span.end;
  }

  #toggle(): void {
    const media = this.#media;
    if (media === undefined) return;
    if (media.paused) void media.play().catch(() => undefined);
    else media.pause();
  }

  #showState(): void {
    const isPlaying = this.#media?.paused === false;
    this.#play.setAttribute('aria-label', isPlaying ? 'Pause' : 'Play');
    this.#play.replaceChildren(icon(isPlaying ? PAUSE : PLAY));
    this.#show();
  }

  #show(): void {
    const media = this.#media;
    if (media === undefined) return;
    this.#leaveSilence(media);
    this.#clock.replaceChildren(clock(this.position), make('span', {}, ` / ${clock(this.duration)}`));
    this.wave.position = this.position;
    if (this.wave.zoom > 1) this.#showTicks();
    const link = this.closest('article')?.querySelector('[data-act=link]');
    if (link != null) link.textContent = `Link to ${clock(this.position)}`;
  }

  #setSpeed(speed: number): void {
    if (this.#media === undefined) return;
    // Loading it again would go back to the default.
    this.#media.defaultPlaybackRate = speed;
    this.#media.playbackRate = speed;
    this.#speed.value = String(speed);
  }

  #faster(steps: number): void {
    const at = SPEEDS.findIndex((speed) => speed === this.#media?.playbackRate);
    const speed = SPEEDS[Math.min(Math.max(0, at + steps), SPEEDS.length - 1)] ?? 1;
    this.#setSpeed(speed);
    this.#say(`${String(speed)} times`);
  }

  #setZoom(zoom: number): void {
    this.wave.zoom = zoom;
    this.#showTicks();
  }

  async #loadLevels(asked: number): Promise<void> {
    try {
      const answer = await fetch(`${this.#given('levels')}${asked === 0 ? '' : '?again'}`, {
        signal: this.#gone.signal,
      });
      if (answer.status === 200) this.#lanes = lanesIn(await answer.arrayBuffer());
      else if (answer.headers.has('retry-after') && asked < ASKS) {
        this.#say('The picture of the sound is being made.');
        setTimeout(() => this.isConnected && void this.#loadLevels(asked + 1), ASK_AGAIN_MS);
      }
    } catch {
      // Without levels there is a flat line, and the sound plays.
    }
    this.#showLanes();
  }

  #showLanes(): void {
    const { duration } = this;
    this.#moments = momentsOf(this.#lanes, duration);
    this.#skips = skipsOf(this.#lanes, duration);
    const of = (kind: Moment['kind']): readonly Stretch[] => this.#moments.filter((moment) => moment.kind === kind);
    this.wave.facts = { lanes: this.#lanes, names: this.#names, duration, both: of('both'), silences: of('silence') };
    this.#labels.replaceChildren(...this.#names.map((name, index) => this.#label(name, index)));
    for (const mark of this.#shown.values()) mark.remove();
    this.#shown = new Map();
    const saved = lengthOfAll(this.#skips);
    this.#skip.disabled = saved === 0;
    this.#saves.textContent = saved === 0 ? 'Skip silence' : `Skip silence, saves ${clock(saved)}`;
    this.#showTicks();
    this.#show();
  }

  #label(name: string, index: number): HTMLElement {
    const spoken = this.#lanes[index]?.speech;
    const share =
      spoken === undefined || this.duration === 0
        ? ''
        : `${String(Math.round((100 * lengthOfAll(spoken)) / this.duration))}%`;
    const ear = this.#names.length > 1 ? (index === 0 ? 'left' : 'right') : '';
    return make(
      'div',
      { class: `lab l${String(index)}` },
      make('b', {}, name),
      make('span', { class: 'muted' }, [ear, share].filter(Boolean).join(' · ')),
    );
  }

  /** Times below, and the moments that fit above them. */
  #showTicks(): void {
    const { start, end } = this.wave.view;
    const width = this.wave.clientWidth;
    if (width === 0 || end <= start) return;
    const at = (seconds: number): string => `${String(((seconds - start) / (end - start)) * 100)}%`;
    const step = stepOf((end - start) / Math.max(2, Math.floor(width / 70)));
    this.#ticks.replaceChildren();
    const last = end - ((end - start) * TICK_PX) / width;
    for (let seconds = Math.ceil(start / step) * step; seconds <= last; seconds += step) {
      const tick = make('span', {}, clock(seconds));
      tick.style.left = at(seconds);
      this.#ticks.append(tick);
    }
    this.#placeMarks((seconds) => ((seconds - start) / (end - start)) * width, width);
  }

  /** One that stays is moved, never made anew: it keeps the focus, and stays under the finger that presses it. */
  #placeMarks(pxOf: (seconds: number) => number, width: number): void {
    const shown = new Map<Moment, HTMLElement>();
    let before: readonly [number, HTMLElement | undefined] = [-Infinity, undefined];
    for (const moment of this.#moments) {
      const x = pxOf(moment.start);
      if (moment.kind === 'turn' || x < 0 || x > width - MARK_PX || x - before[0] < MARK_PX) continue;
      const mark = this.#shown.get(moment) ?? this.#mark(moment);
      mark.style.left = `${String((100 * x) / width)}%`;
      if (!mark.isConnected && before[1] === undefined) this.#marks.prepend(mark);
      else if (!mark.isConnected) before[1]?.after(mark);
      shown.set(moment, mark);
      before = [x, mark];
    }
    for (const [moment, mark] of this.#shown) if (!shown.has(moment)) this.#takeAway(mark);
    this.#shown = shown;
  }

  #takeAway(mark: HTMLElement): void {
    if (mark === document.activeElement) this.wave.focus();
    mark.remove();
  }

  #mark(moment: Moment): HTMLElement {
    const mark = make('button', { type: 'button', class: moment.kind, 'aria-label': this.#nameOf(moment) });
    mark.title = this.#nameOf(moment);
    mark.addEventListener('click', () => (this.position = moment.start));
    return mark;
  }

  #nameOf({ kind, lane, start, end }: Moment): string {
    const what = { both: 'Both speak', silence: 'Silence', turn: `${this.#names[lane] ?? 'Somebody'} speaks` }[kind];
    return `${what}, ${clock(start)}, ${spoken(end - start)}`;
  }

  #toMoment(steps: -1 | 1): void {
    const at = this.position;
    const moment =
      steps > 0
        ? this.#moments.find(({ start }) => start > at + 0.1)
        : this.#moments.findLast(({ start }) => start < at - JUST_S);
    if (moment === undefined) return this.#say(`No moment ${steps > 0 ? 'after' : 'before'} this one.`);
    this.position = moment.start;
    this.#say(this.#nameOf(moment));
  }

  #say(text: string): void {
    this.#said.replaceChildren(text);
  }

  async #copyLink(): Promise<void> {
    const url = `${location.origin}${this.#given('here')}#t=${String(Math.floor(this.position))}`;
    try {
      await navigator.clipboard.writeText(url);
      this.#say(`The link to ${clock(this.position)} is copied.`);
    } catch {
      // Without https there is no clipboard.
      const field = make('input', { class: 'inp', readonly: true, value: url, 'aria-label': 'Link to this moment' });
      this.#said.replaceChildren('Copy this link: ', field);
      field.select();
    }
  }

  /** What is known is kept; what can be done is offered, also while nobody tells why. */
  async #broke(media: HTMLMediaElement): Promise<void> {
    const at = this.position;
    const again = make('button', { type: 'button', class: 'btn' }, 'Try again');
    again.addEventListener('click', () => {
      media.load();
      media.currentTime = at;
      void media.play().catch(() => undefined);
      this.#say('');
    });
    const why = new Text();
    const say = (status: number): void => {
      why.data = `${WHY.get(status) ?? whyBroken(media, status, at)} `;
      if (!why.isConnected) this.#said.replaceChildren(why, again);
      if (status === 410) again.remove();
    };
    const waiting = setTimeout(say, QUIET_MS, 0);
    const answer = await fetch(media.currentSrc, { method: 'HEAD' }).catch(() => undefined);
    const status = answer?.status ?? 0;
    clearTimeout(waiting);
    // It was tried again meanwhile.
    if (media.error === null) return;
    if (status === 401) this.#signedOut();
    say(status);
  }

  /** Whoever is no longer known here hears no more; where it stopped is kept, in the address as well. */
  #signedOut(): void {
    const media = this.#media;
    const at = this.position;
    media?.pause();
    history.replaceState(history.state, '', `#t=${String(Math.floor(at))}`);
    saySignedOut({
      stays: `The player stays at ${clock(at)}.`,
      back: () => {
        if (media?.error != null) media.load();
        this.position = at;
        this.#claims?.resend();
        this.#say(`Signed in again: it goes on at ${clock(at)}.`);
        this.focusPlay();
      },
    });
  }

  #offerScreens(media: HTMLMediaElement): void {
    const figures = [...this.querySelectorAll<HTMLElement>('.scr')];
    if (figures.length > 0) this.#screens = new Screens(media, figures, this.#gone.signal);
  }

  #useKeys(): void {
    const on = (keys: string | readonly string[], does: string, act: KeyAct['act']): void =>
      onKey(keys, { does, act }, this.#gone.signal);
    on(' ', 'play, pause', () => this.#toggle());
    on(['ArrowLeft', 'ArrowRight'], '5 s back, on (with Shift: 1 s)', ({ key, shiftKey }) => {
      this.position += (key === 'ArrowLeft' ? -1 : 1) * (shiftKey ? 1 : JUMP_S);
    });
    on(['[', ']'], 'previous, next moment', ({ key }) => this.#toMoment(key === '[' ? -1 : 1));
    on(['<', '>'], 'slower, faster', ({ key }) => this.#faster(key === '<' ? -1 : 1));
    on('s', 'skip silence', () => {
      if (this.#skip.disabled) return;
      this.#skip.checked = !this.#skip.checked;
      this.#say(this.#skip.checked ? 'Silence is skipped.' : 'Silence is played.');
    });
    on('l', 'copy the link to this moment', () => void this.#copyLink());
    on('v', 'screen large', () => this.#enlarge());
    for (const [index, name] of ['both', ...this.#names.map((name) => name.toLowerCase())].entries())
      if (this.#names.length > 1) on(String(index), `hear ${name}`, () => this.#hear(index));
  }

  /** The screen that is shown. */
  #enlarge(): void {
    const video = this.querySelector<HTMLVideoElement>('video.main, .scr:not([hidden]) video');
    if (video === null) this.#say('There is no screen recording of this call.');
    else void video.requestFullscreen().catch(() => undefined);
  }

  /** Keys of headsets and keyboards. */
  #useSession(media: HTMLMediaElement): void {
    if (!('mediaSession' in navigator)) return;
    const { mediaSession } = navigator;
    const title = this.closest('article')?.querySelector('h2')?.textContent?.trim() ?? '';
    mediaSession.metadata = new MediaMetadata({ title });
    const handlers: readonly (readonly [MediaSessionAction, () => void])[] = [
      ['play', () => void media.play().catch(() => undefined)],
      ['pause', () => media.pause()],
      ['seekbackward', () => (this.position -= JUMP_S)],
      ['seekforward', () => (this.position += JUMP_S)],
      ['previoustrack', () => this.#toMoment(-1)],
      ['nexttrack', () => this.#toMoment(1)],
    ];
    for (const [action, handler] of handlers) mediaSession.setActionHandler(action, handler);
    this.#gone.signal.addEventListener('abort', () => {
      for (const [action] of handlers) mediaSession.setActionHandler(action, null);
    });
  }
}

/** What was left is heard no more, by no key of a headset either, and its bytes and its decoder are given back. */
function letGo(media: HTMLMediaElement): void {
  media.pause();
  media.removeAttribute('src');
  media.load();
}

/** What is there and cannot be decoded is no lost connection. */
function whyBroken({ error }: HTMLMediaElement, status: number, at: number): string {
  const isUndecodable = status === 200 && error?.code === MediaError.MEDIA_ERR_DECODE;
  return isUndecodable ? `This browser cannot play it from ${clock(at)} on.` : `Connection lost at ${clock(at)}.`;
}

const WHY: ReadonlyMap<number, string> = new Map([
  [401, 'You are signed out.'],
  [403, 'You may not hear this any more.'],
  [404, 'It is not in the archive any more.'],
  [410, 'It was erased meanwhile.'],
  [429, 'Too many listen at once.'],
  [503, 'The archive or its audit is away just now.'],
]);

/** Seconds of `#t=118`. */
function startIn(hash: string): number {
  const seconds = Number(new URLSearchParams(hash.slice(1)).get('t') ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? seconds : 0;
}

/** Whole seconds, tens, minutes: what people count in, at least that far apart. */
function stepOf(least: number): number {
  return [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_200, 1_800].find((step) => step >= least) ?? 3_600;
}

customElements.define('call-player', CallPlayer);
