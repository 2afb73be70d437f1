/** Bytes of a file, in chunks of any size → those of them that are wanted, chosen by a walk that looks at a few and passes over the rest. */
import { release } from '../../memory.ts';
import { Backlog } from '../backlog.ts';

/** What a walk wants next. */
export type SieveStep =
  /** So many bytes to look at; fewer come only at the end of the file. They stay where they are, and are gone after the next step. */
  | { readonly look: number }
  /** So many bytes handed on; of what has units, whole ones alone. */
  | { readonly keep: number; readonly unitBytes?: number | undefined }
  | { readonly drop: number }
  /** Handed on in between. */
  | { readonly put: Buffer };

/** A walk that returns drops the rest. */
export type Walk<T = void> = Generator<SieveStep, T, Buffer>;

const NOTHING: Buffer = Buffer.alloc(0);

export class Sieve {
  /** Offset in the file of what is looked at next. */
  position = 0;
  readonly #walk: Walk;
  readonly #backlog = new Backlog();
  #step: SieveStep = { look: 0 };
  #handed: Buffer[] = [];

  constructor(begin: (sieve: Sieve) => Walk) {
    this.#walk = begin(this);
  }

  /** After {@link end}: so many bytes the file lacks of what was to be kept or dropped; 0 where it was to be all there is. */
  get missing(): number {
    const step = this.#step;
    const left = 'keep' in step ? step.keep : 'drop' in step ? step.drop : 0;
    return Number.isFinite(left) ? left : 0;
  }

  /** The chunk is given up. */
  push(chunk: Buffer): readonly Buffer[] {
    this.#backlog.add(chunk);
    const needed = 'look' in this.#step ? this.#step.look : 1;
    if (this.#backlog.length < needed) return [];
    const bytes = this.#backlog.bytes();
    const used = this.#sift(bytes);
    this.#backlog.consume(bytes.length);
    // What was handed on may be gone before more comes.
    this.#backlog.add(Buffer.from(bytes.subarray(used)));
    if (bytes !== chunk) release(chunk);
    return this.#take();
  }

  /** The file has ended: what a walk still wants to look at it gets as far as it is there, until it wants something else. */
  end(): readonly Buffer[] {
    let rest = this.#backlog.bytes();
    this.#backlog.consume(rest.length);
    for (;;) {
      const used = this.#sift(rest);
      rest = rest.subarray(used);
      if (!('look' in this.#step)) return this.#take();
      this.#next(rest);
      // A walk that has seen the end and still only looks would look for ever.
      if ('look' in this.#step && this.#step.look > rest.length) return this.#take();
    }
  }

  #take(): readonly Buffer[] {
    const handed = this.#handed;
    this.#handed = [];
    return handed;
  }

  /** Goes on as far as the bytes reach; returns how many are done with. */
  #sift(bytes: Buffer): number {
    let [from, at] = [0, 0];
    const handOn = (): void => {
      if (at > from) this.#handed.push(from === 0 && at === bytes.length ? bytes : bytes.subarray(from, at));
      from = at;
    };
    for (;;) {
      const step = this.#step;
      if ('look' in step) {
        if (at + step.look > bytes.length) break;
        this.#next(bytes.subarray(at, at + step.look));
      } else if ('put' in step) {
        handOn();
        this.#handed.push(step.put);
        this.#next(NOTHING);
      } else {
        const asked = 'keep' in step ? step.keep : step.drop;
        const passed = Math.min(asked, wholeBytes(step, bytes.length - at));
        if ('drop' in step) handOn();
        at += passed;
        this.position += passed;
        if ('drop' in step) from = at;
        if (passed < asked) {
          this.#step = 'keep' in step ? { ...step, keep: asked - passed } : { drop: asked - passed };
          break;
        }
        this.#next(NOTHING);
      }
    }
    handOn();
    return at;
  }

  #next(seen: Buffer): void {
    const { value, done } = this.#walk.next(seen);
    this.#step = done === true || value === undefined ? { drop: Infinity } : value;
  }
}

/** Of so many bytes those that can be passed over now. */
function wholeBytes(step: SieveStep, bytes: number): number {
  const unit = 'keep' in step ? (step.unitBytes ?? 1) : 1;
  return bytes - (bytes % unit);
}
