/** Bodies on their way → memory for them: small ones always have it, larger ones share what there is. */
import { Failure } from '../failure.ts';

interface BodyRoomBounds {
  /** Of what each body has beyond `smallBytes`, in all. */
  readonly allBytes: number;
  readonly smallBytes: number;
  /** What one too many is told to wait. */
  readonly retryAfterMs: number;
}

/** Anybody may send a body before it is known who they are: a thousand slow ones do not fill the memory. */
export class BodyRoom {
  readonly #bounds: BodyRoomBounds;
  #heldBytes = 0;

  constructor(bounds: BodyRoomBounds) {
    this.#bounds = bounds;
  }

  /** Until it is disposed of. */
  enter(): BodyPlace {
    const { allBytes, smallBytes, retryAfterMs } = this.#bounds;
    let [sharedBytes, isOver] = [0, false];
    const share = (bytes: number): void => {
      this.#heldBytes += bytes - sharedBytes;
      sharedBytes = bytes;
    };
    return {
      hold: (sizeBytes) => {
        if (isOver) return undefined;
        share(Math.max(0, sizeBytes - smallBytes));
        if (this.#heldBytes <= allBytes) return undefined;
        return new Failure('busy', 'Too many large requests at once; send it again.', { afterMs: retryAfterMs });
      },
      [Symbol.dispose]: () => {
        isOver = true;
        share(0);
      },
    };
  }
}

interface BodyPlace extends Disposable {
  /** So many bytes have come of it; a Failure `busy` where there is no room for them. */
  hold(sizeBytes: number): Failure | undefined;
}
