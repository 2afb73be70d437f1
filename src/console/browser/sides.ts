/** A stereo call → both sides as they are, or one of them alone, on both ears. */

export class Sides {
  readonly #media: HTMLMediaElement;
  #context: AudioContext | undefined;
  #source: MediaElementAudioSourceNode | undefined;
  #last: AudioNode | undefined;

  constructor(media: HTMLMediaElement) {
    this.#media = media;
  }

  /** What is heard passes here, for whoever wants to measure it; undefined as long as nothing was chosen. */
  get heard(): { readonly context: AudioContext; readonly node: AudioNode } | undefined {
    return this.#context === undefined || this.#last === undefined
      ? undefined
      : { context: this.#context, node: this.#last };
  }

  /** A lane, or undefined for both. Begun by what somebody pressed: before that browsers let no such sound out. */
  choose(lane: number | undefined): void {
    if (lane === undefined && this.#context === undefined) return;
    const context = (this.#context ??= new AudioContext());
    const source = (this.#source ??= context.createMediaElementSource(this.#media));
    void context.resume();
    source.disconnect();
    this.#last?.disconnect();
    this.#last = lane === undefined ? source : oneSide(context, source, lane);
    this.#last.connect(context.destination);
  }

  close(): void {
    void this.#context?.close();
  }
}

function oneSide(context: AudioContext, source: AudioNode, lane: number): AudioNode {
  const splitter = context.createChannelSplitter(2);
  const merger = context.createChannelMerger(2);
  source.connect(splitter);
  splitter.connect(merger, lane, 0);
  splitter.connect(merger, lane, 1);
  return merger;
}
