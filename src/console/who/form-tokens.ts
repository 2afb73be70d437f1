/** Who a form was made for → a token in it, and back: what comes from elsewhere, or from somebody else's page, has none. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { Failure } from '../../failure.ts';
import type { ConsoleKeys } from './console-keys.ts';
import type { Identity } from './identity.ts';

const RANDOM_BYTES = 12;

export class FormTokens {
  readonly #keys: Pick<ConsoleKeys, 'forms'>;

  constructor(keys: Pick<ConsoleKeys, 'forms'>) {
    this.#keys = keys;
  }

  /** Another one each time: pages are compressed together with what their reader chose, which must tell nothing of it. */
  make(who: Pick<Identity, 'id' | 'way'>): string {
    const random = randomBytes(RANDOM_BYTES).toString('base64url');
    const [key = Buffer.alloc(0)] = this.#keys.forms;
    return `${random}.${signature(random, who, key).toString('base64url')}`;
  }

  /** @throws Failure `forbidden` saying what to do */
  require(token: string, who: Pick<Identity, 'id' | 'way'>): void {
    const [random = '', signed = ''] = token.split('.');
    const given = Buffer.from(signed, 'base64url');
    const isOurs = this.#keys.forms.some((key) => {
      const expected = signature(random, who, key);
      return given.length === expected.length && timingSafeEqual(given, expected);
    });
    if (!isOurs)
      throw new Failure('bad-request', 'This form is too old, or is not ours: open the page again and repeat it.', {
        status: 403,
      });
  }
}

function signature(random: string, { id, way }: Pick<Identity, 'id' | 'way'>, key: Buffer): Buffer {
  return createHmac('sha256', key).update(`${random}\n${way}\n${id}`).digest();
}
