/** Time that passes from event to event, in the order of their moments; those of one moment in the order they were asked for. */
import assert from 'node:assert/strict';

export class VirtualTime {
  now = 0;
  readonly #due: { readonly at: number; readonly happens: () => void }[] = [];

  after(ms: number, happens: () => void): void {
    this.#due.push({ at: this.now + ms, happens });
  }

  /** Until nothing is left to happen, or nothing before `endMs`. */
  run(endMs = Infinity): void {
    for (let steps = 0; this.#due.length > 0; steps++) {
      assert.ok(steps < 200_000, 'nobody waits for ever');
      const next = this.#due.reduce((first, each) => (each.at < first.at ? each : first));
      if (next.at > endMs) return;
      this.#due.splice(this.#due.indexOf(next), 1);
      this.now = next.at;
      next.happens();
    }
  }
}
