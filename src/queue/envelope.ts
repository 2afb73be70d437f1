/** A message as Pub/Sub delivers it, pulled by the queue or pushed to a route: what both have to agree on. */

export interface Outgoing {
  readonly data: string;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Envelope extends Outgoing {
  /** Of this message; each copy has its own. */
  readonly id: string;
  readonly publishedAt: Date;
  /** 1 and more where the subscription has a dead-letter policy and tells; else 0. Counts nacks and deadlines that passed. */
  readonly deliveryAttempt: number;
}
