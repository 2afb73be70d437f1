/** Marks of erasures, in the order of their names → whether a recording, asked for in the same order, was erased; in the memory of one conversation. */

export interface ErasedNames extends AsyncDisposable {
  /** Keys have to be asked for in the order of their recordings' names. */
  holds(key: string): Promise<boolean>;
}

const END = '.json';

/** `names` are those under erased/: `{C|_}.{R}.json`, `{C}._.json` for a whole conversation. */
export function erasedIn(names: AsyncIterable<string>): ErasedNames {
  return new MergedNames(names);
}

class MergedNames implements ErasedNames {
  readonly #names: AsyncIterator<string>;
  #next: string | undefined;
  #begun = false;
  #conversation = '';
  #keys = new Set<string>();

  constructor(names: AsyncIterable<string>) {
    this.#names = names[Symbol.asyncIterator]();
  }

  async holds(key: string): Promise<boolean> {
    if (!this.#begun) await this.#advance();
    const conversation = key.slice(0, key.indexOf('.') + 1);
    // What belongs to no conversation may be without number: there the marks are walked beside what is asked for.
    if (conversation === '' || conversation === '_.') return this.#meets(`${key}${END}`);
    if (conversation !== this.#conversation) await this.#collect(conversation);
    return this.#keys.has(key) || this.#keys.has(`${conversation}_`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#names.return?.();
  }

  async #meets(name: string): Promise<boolean> {
    while (this.#next !== undefined && this.#next < name) await this.#advance();
    return this.#next === name;
  }

  async #collect(conversation: string): Promise<void> {
    this.#conversation = conversation;
    this.#keys = new Set();
    while (this.#next !== undefined && this.#next < conversation) await this.#advance();
    while (this.#next?.startsWith(conversation) === true) {
      this.#keys.add(this.#next.slice(0, -END.length));
      await this.#advance();
    }
  }

  async #advance(): Promise<void> {
    this.#begun = true;
    const step = await this.#names.next();
    this.#next = step.done === true ? undefined : step.value;
  }
}
