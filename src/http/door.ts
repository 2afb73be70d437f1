/** An address that answers as soon as it is taken: 503 while the service starts, then with its routes. */
import { randomUUID } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { listen, type Listener, type ListenOptions } from './server.ts';

export interface Door extends Pick<Listener, 'url' | 'close'> {
  /** From now on `routes` answer. */
  open(routes: RequestListener): void;
}

/** @throws Failure `misconfigured` naming HOST or PORT where the address cannot be had */
export async function takeDoor(options: ListenOptions): Promise<Door> {
  let answer: RequestListener = refuseWhileStarting;
  const listener = await listen((req, res) => answer(req, res), options);
  return { url: listener.url, close: (deadlineMs) => listener.close(deadlineMs), open: (routes) => (answer = routes) };
}

const refuseWhileStarting: RequestListener = (_req, res) => {
  const requestId = randomUUID();
  const error = { code: 'starting', message: 'The service is starting; ask again in a moment.', requestId };
  res.writeHead(503, { 'Content-Type': 'application/json; charset=utf-8', 'Retry-After': '1', Connection: 'close' });
  res.end(JSON.stringify({ error }));
};
