/** Whoever listens to an answer over HTTP → the same, told of it at arm's length: once that is over, neither holds the other. */
import type { Dispatcher } from 'undici';

type AnswerListener = Dispatcher.DispatchHandler;
type Connection = Dispatcher.DispatchController;
type AnswerHeaders = Parameters<NonNullable<AnswerListener['onResponseStart']>>[2];

/**
 * An interceptor for undici's `compose()`. Its `request()` lays the controller of a connection into a closure (lib/api/api-request.js), by
 * which V8 takes one answer after the other for alive whenever it looks through its young objects: all that ever heard of an answer,
 * a recording's whole making, then moves to the old ones, which cost a millisecond per recording to look through.
 */
export function atArmsLength(dispatch: Dispatcher['dispatch']): Dispatcher['dispatch'] {
  return (options, listener) => dispatch(options, new Relay(listener));
}

/** Speaks for the connection while there is an answer to come. */
class Speaker implements Connection {
  #connection: Connection | undefined;

  /** null where nothing came to be asked. */
  constructor(connection: Connection | null) {
    this.#connection = connection ?? undefined;
  }

  hangUp(): void {
    this.#connection = undefined;
  }

  get aborted(): boolean {
    return this.#connection?.aborted ?? false;
  }

  get paused(): boolean {
    return this.#connection?.paused ?? false;
  }

  get reason(): Error | null {
    return this.#connection?.reason ?? null;
  }

  get rawHeaders(): NonNullable<Connection['rawHeaders']> | null {
    return this.#connection?.rawHeaders ?? null;
  }

  get rawTrailers(): NonNullable<Connection['rawTrailers']> | null {
    return this.#connection?.rawTrailers ?? null;
  }

  abort(reason: Error): void {
    this.#connection?.abort(reason);
  }

  pause(): void {
    this.#connection?.pause();
  }

  resume(): void {
    this.#connection?.resume();
  }
}

class Relay implements AnswerListener {
  #listener: AnswerListener | undefined;
  #speaker: Speaker | undefined;

  constructor(listener: AnswerListener) {
    this.#listener = listener;
  }

  onRequestStart(connection: Connection, context: unknown): void {
    // A second time where the first connection was gone before it heard of anything.
    this.#speaker?.hangUp();
    this.#speaker = new Speaker(connection);
    this.#listener?.onRequestStart?.(this.#speaker, context);
  }

  onRequestUpgrade(...[connection, ...rest]: Parameters<NonNullable<AnswerListener['onRequestUpgrade']>>): void {
    this.#listener?.onRequestUpgrade?.(this.#speakerOf(connection), ...rest);
    this.#end();
  }

  onResponseStart(connection: Connection, status: number, headers: AnswerHeaders, message?: string): void {
    this.#listener?.onResponseStart?.(this.#speakerOf(connection), status, headers, message);
  }

  onResponseData(connection: Connection, chunk: Buffer): void {
    this.#listener?.onResponseData?.(this.#speakerOf(connection), chunk);
  }

  onResponseEnd(connection: Connection, trailers: AnswerHeaders): void {
    this.#listener?.onResponseEnd?.(this.#speakerOf(connection), trailers);
    this.#end();
  }

  onResponseError(connection: Connection | null, error: Error): void {
    this.#listener?.onResponseError?.(this.#speakerOf(connection), error);
    this.#end();
  }

  #speakerOf(connection: Connection | null): Speaker {
    return (this.#speaker ??= new Speaker(connection));
  }

  #end(): void {
    this.#speaker?.hangUp();
    this.#listener = undefined;
  }
}
