/** Who holds a connection, and whose turn it is on each: nobody keeps others out by holding on, or gets more by asking in one go. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface ConnectionBounds {
  readonly maxConnections: number;
  /** Requests that wait behind the one at work, on one connection; on all of them four times as many. */
  readonly maxPipelined: number;
}

interface RequestTurn {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly begin: () => void;
}

/** What is at work on a connection, and what waits behind it. */
interface RequestLine {
  current: RequestTurn;
  readonly waiting: RequestTurn[];
}

export class Connections {
  readonly #bounds: ConnectionBounds;
  /** Nothing is at work on them; in the order in which that began. */
  readonly #idle = new Set<Socket>();
  /** In the order in which they ceased to be idle. */
  readonly #busy = new Map<Socket, RequestLine>();
  #waiting = 0;

  constructor(bounds: ConnectionBounds) {
    this.#bounds = bounds;
  }

  /**
   * Where there are too many, the longest idle one makes room, or else the one that has longest not sent its request whole, or
   * the last that was answered and does not take the end of it: those who play, and rest, have been there for longer.
   */
  admit(socket: Socket): void {
    if (this.#idle.size + this.#busy.size >= this.#bounds.maxConnections) {
      const leaving = this.#longestIdle() ?? this.#longestSending() ?? this.#lastUnread() ?? socket;
      this.#forget(leaving);
      leaving.destroy();
      if (leaving === socket) return;
    }
    this.#idle.add(socket);
    socket.once('close', () => this.#forget(socket));
  }

  /**
   * Begins the request at once, or when the answers before it on its connection have ended: whoever sends many without
   * reading gets one at work, like everybody else.
   */
  take(turn: RequestTurn): void {
    const { socket } = turn.req;
    const line = this.#busy.get(socket);
    if (line === undefined) {
      this.#idle.delete(socket);
      this.#begin(socket, { current: turn, waiting: [] });
    } else if (line.waiting.length < this.#bounds.maxPipelined && this.#waiting < 4 * this.#bounds.maxPipelined) {
      line.waiting.push(turn);
      this.#waiting += 1;
    } else socket.destroy();
  }

  #begin(socket: Socket, line: RequestLine): void {
    this.#busy.set(socket, line);
    line.current.res.once('close', () => this.#next(socket, line));
    line.current.begin();
  }

  #next(socket: Socket, line: RequestLine): void {
    if (this.#busy.get(socket) !== line) return;
    const turn = line.waiting.shift();
    if (turn !== undefined) this.#waiting -= 1;
    if (!socket.writable) return this.#forget(socket);
    if (turn !== undefined) {
      line.current = turn;
      return this.#begin(socket, line);
    }
    this.#busy.delete(socket);
    this.#idle.add(socket);
  }

  #forget(socket: Socket): void {
    this.#waiting -= this.#busy.get(socket)?.waiting.length ?? 0;
    this.#idle.delete(socket);
    this.#busy.delete(socket);
  }

  #longestIdle(): Socket | undefined {
    return this.#idle.values().next().value;
  }

  #longestSending(): Socket | undefined {
    for (const [socket, { current }] of this.#busy) if (!current.req.complete) return socket;
    return undefined;
  }

  #lastUnread(): Socket | undefined {
    return [...this.#busy].findLast(([, { current }]) => current.res.writableEnded)?.[0];
  }
}
