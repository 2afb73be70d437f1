/** What all makings keep of what they made, together → bounded: what only a late listener could want is the first to go. */

export interface Keeper {
  /** Bytes that every reader has had. */
  readonly spareBytes: number;
  dropSpare(): void;
  /** Others keep less than before. */
  onRoom(): void;
}

export class FlightMemory {
  readonly #mostBytes: number;
  readonly #keepers = new Set<Keeper>();
  #heldBytes = 0;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Whether more may be kept than somebody waits for. */
  get hasRoom(): boolean {
    const spareBytes = [...this.#keepers].reduce((sum, keeper) => sum + keeper.spareBytes, 0);
    return this.#heldBytes - spareBytes < this.#mostBytes;
  }

  /** Whether too much is held although nothing is spare any more. */
  get isOver(): boolean {
    return this.#heldBytes > this.#mostBytes;
  }

  add(keeper: Keeper): void {
    this.#keepers.add(keeper);
  }

  remove(keeper: Keeper): void {
    this.#keepers.delete(keeper);
  }

  /** Always granted: somebody waits for it. What is spare makes room, the largest first. */
  take(sizeBytes: number): void {
    this.#heldBytes += sizeBytes;
    while (this.isOver) {
      const [first, ...others] = this.#keepers;
      const largest = others.reduce((a, b) => (b.spareBytes > (a?.spareBytes ?? 0) ? b : a), first);
      if (largest === undefined || largest.spareBytes === 0) return;
      largest.dropSpare();
    }
  }

  give(sizeBytes: number): void {
    this.#heldBytes -= sizeBytes;
    for (const keeper of this.#keepers) keeper.onRoom();
  }
}
