/** The place where media lies → answers of the media host, over connections that belong to one download and end with it. */
import { errors } from 'undici';
import type { Dispatcher } from 'undici';
import { setImmediate } from 'node:timers/promises';
import type { Proxies } from '../config/proxies.ts';
import { Failure } from '../failure.ts';
import { openOutbound, type OutboundOptions } from '../outbound.ts';
import type { Hosts } from './hosts.ts';
import { Interruption, requestMedia, type MediaAnswer, type MediaLocation, type MediaRange } from './answer.ts';

/** Says where the media lies. Asked again only when the media host refused what it said last. */
export type Locate = (signal: AbortSignal) => Promise<MediaLocation>;

export interface SourceLimits {
  readonly hosts: Hosts;
  readonly proxies: Proxies | undefined;
  readonly connectTimeoutMs: number;
  readonly idleMs: number;
  readonly headersTimeoutMs: number;
}

const MAX_HEADER_BYTES = 16_384;

/** Made once: nobody reads where it comes from, and to find that out costs more than to close a connection. */
const CLOSED = new errors.ClientDestroyedError('The download has ended.');

export class MediaSource {
  /** Aborted by {@link close}, with its reason. */
  readonly signal: AbortSignal;
  /** Resolves once every connection is gone. Never rejects. */
  readonly closed: Promise<void>;
  readonly #locate: Locate;
  readonly #hosts: Hosts;
  readonly #scope = new AbortController();
  readonly #allClosed = Promise.withResolvers<undefined>();
  readonly #main: Dispatcher;
  readonly #limits: SourceLimits;
  /** Most media needs none. */
  #aside: Dispatcher | undefined;
  #location: MediaLocation | undefined;
  #surplus = false;
  /** Of the signal that it was given. */
  readonly #letGo: () => void;

  /** Closes itself when `signal` aborts. */
  constructor(locate: Locate, limits: SourceLimits, signal: AbortSignal) {
    this.#locate = locate;
    this.#hosts = limits.hosts;
    this.signal = this.#scope.signal;
    this.closed = this.#allClosed.promise;
    // Bytes after the announced end reach no body: the parser finds no request for them and drops the connection.
    this.#main = openConnections(limits, {
      connections: 1,
      onDisconnect: (error) => (this.#surplus ||= error.message === 'bad response'),
    });
    this.#limits = limits;
    const onAbort = (): void => void this.close(signal.reason);
    this.#letGo = () => signal.removeEventListener('abort', onAbort);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  }

  /** The media from its start. */
  async whole(): Promise<MediaAnswer> {
    this.#surplus = false;
    const answer = await this.#request(undefined, this.#main, this.signal);
    if (answer !== undefined) return answer;
    throw new Failure('upstream-error', 'The media host answered a range nobody asked for.');
  }

  /** The media from `range.start` on, or from its start where the host ignores ranges; undefined where there is neither. */
  rest(range: MediaRange): Promise<MediaAnswer | undefined> {
    this.#surplus = false;
    return this.#request(range, this.#main, this.signal);
  }

  /** A part, on a connection beside the one the media is being read from. */
  part(range: MediaRange, signal: AbortSignal): Promise<MediaAnswer | undefined> {
    // Nothing would end connections that are opened after the others are gone.
    if (this.signal.aborted) return Promise.reject(this.signal.reason);
    this.#aside ??= openConnections(this.#limits);
    return this.#request(range, this.#aside, signal);
  }

  /** Right after a body has ended: whether more came along with its last bytes. */
  async hasSurplus(): Promise<boolean> {
    // The connection's end is told two turns of the event loop after the body's.
    await setImmediate();
    await setImmediate();
    return this.#surplus;
  }

  /** Breaks off what is still running. May be called twice; the first reason counts. */
  close(reason: unknown): Promise<void> {
    if (this.signal.aborted) return this.closed;
    this.#letGo();
    this.#scope.abort(reason);
    this.#location = undefined;
    void Promise.allSettled([this.#main.destroy(CLOSED), this.#aside?.destroy(CLOSED)]).then(() =>
      this.#allClosed.resolve(undefined),
    );
    return this.closed;
  }

  /** A proxy takes the time of an answer for its own. */
  #beginsWithinMs(): number {
    return this.#limits.connectTimeoutMs + 2 * this.#limits.headersTimeoutMs;
  }

  async #request(
    range: MediaRange | undefined,
    dispatcher: Dispatcher,
    signal: AbortSignal,
  ): Promise<MediaAnswer | undefined> {
    const location = (this.#location ??= await this.#locate(signal));
    try {
      const way = { hosts: this.#hosts, dispatcher, beginsWithinMs: this.#beginsWithinMs() };
      return await requestMedia({ location, range }, way, signal);
    } catch (thrown) {
      if (thrown instanceof Interruption && thrown.stale && this.#location === location) this.#location = undefined;
      throw thrown;
    }
  }
}

function openConnections(limits: SourceLimits, more: Partial<OutboundOptions> = {}): Dispatcher {
  const options = {
    connect: limits.hosts.connect,
    connectTimeoutMs: limits.connectTimeoutMs,
    headersTimeoutMs: limits.headersTimeoutMs,
    bodyTimeoutMs: limits.idleMs,
    maxHeaderBytes: MAX_HEADER_BYTES,
    ...more,
  };
  return openOutbound(options, limits.proxies);
}
