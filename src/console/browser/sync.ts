/** A screen recording that follows a voice: muted, in step at any speed, nudged by its rate and sought only where it is far off. */

/** Seconds: nearer is in step; farther away than the second one a seek is shorter than a chase. */
const IN_STEP_S = 0.03;
const SEEK_S = 0.3;
/** Of the voice's own speed. */
const MOST_NUDGE = 0.1;
const EVERY_MS = 200;

export class ScreenSync {
  readonly #voice: HTMLMediaElement;
  readonly #screen: HTMLVideoElement;
  /** Seconds that the screen starts after the voice. */
  readonly #offset: number;
  readonly #gone = new AbortController();
  #timer = 0;

  constructor(voice: HTMLMediaElement, screen: HTMLVideoElement) {
    this.#voice = voice;
    this.#screen = screen;
    this.#offset = Number(screen.dataset['offset'] ?? 0);
    screen.muted = true;
    screen.controls = false;
    const { signal } = this.#gone;
    for (const name of ['play', 'playing', 'seeking', 'seeked', 'pause', 'waiting', 'ratechange', 'ended'])
      voice.addEventListener(name, () => this.#follow(), { signal });
    // What the voice did while this one loaded or sought is still to be followed; where it plays, the timer does.
    for (const name of ['loadedmetadata', 'seeked'])
      screen.addEventListener(name, () => voice.paused && this.#step(voice.seeking), { signal });
    this.#follow();
  }

  /** Another screen is shown, or another recording. */
  stop(): void {
    this.#gone.abort();
    clearInterval(this.#timer);
    this.#screen.pause();
  }

  #follow(): void {
    const { paused, seeking } = this.#voice;
    clearInterval(this.#timer);
    this.#step(seeking);
    // Nothing wakes while nothing moves.
    if (!paused) this.#timer = setInterval(() => this.#step(false), EVERY_MS);
  }

  #step(isSought: boolean): void {
    const [voice, screen] = [this.#voice, this.#screen];
    const target = voice.currentTime - this.#offset;
    const isIn = target >= 0 && !(target >= screen.duration);
    if (!isIn || voice.paused || voice.readyState < HTMLMediaElement.HAVE_FUTURE_DATA) return this.#stand(target);
    if (screen.paused) void screen.play().catch(() => undefined);
    const behind = target - screen.currentTime;
    if (isSought || Math.abs(behind) > SEEK_S) this.#seek(target);
    else screen.playbackRate = voice.playbackRate * (1 + nudgeOf(behind));
  }

  /** Still, at what belongs to the voice: before it begins its first picture, after its end the last one. */
  #stand(target: number): void {
    const screen = this.#screen;
    screen.pause();
    const to = Math.min(Math.max(0, target), screen.duration);
    if (screen.readyState > 0 && Math.abs(screen.currentTime - to) > IN_STEP_S) this.#seek(to);
  }

  /** One at a time: what comes while it seeks would begin it anew. */
  #seek(to: number): void {
    if (!this.#screen.seeking) this.#screen.currentTime = to;
  }
}

function nudgeOf(behind: number): number {
  if (Math.abs(behind) < IN_STEP_S) return 0;
  return Math.min(Math.max(behind, -MOST_NUDGE), MOST_NUDGE);
}
