/** Where nobody is asked, on this machine alone: everybody may what the configuration gives to all. */
import type { Express } from 'express';
import type { Grant } from '../../config/console.ts';
import { requireOwnHost } from '../../http/host.ts';
import type { Doorkeeper } from '../console.ts';
import { identityOf, type Identity } from './identity.ts';

export class NobodyDoor implements Doorkeeper {
  readonly #identity: Identity;
  readonly #publicUrl: string | undefined;

  constructor({ grants, publicUrl }: { readonly grants: readonly Grant[]; readonly publicUrl: string | undefined }) {
    this.#identity = identityOf({ id: 'anybody', way: 'none', isAddress: false, groups: [] }, grants);
    this.#publicUrl = publicUrl;
  }

  async identify(): Promise<Identity> {
    return this.#identity;
  }

  signInAt(): undefined {
    return undefined;
  }

  /** A page elsewhere could give itself this machine's address (DNS rebinding) and read all of it. */
  routes(app: Express): void {
    app.use(requireOwnHost(this.#publicUrl));
  }
}
