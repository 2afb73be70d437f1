/** The file that X_FILE names → what X is, again each time the file changes, without a restart. */
import { closeSync, createReadStream, fstatSync, openSync, readSync, unwatchFile, watchFile } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { systemCode } from '../failure.ts';

const MAX_BYTES = 64 * 1024;
/** How often its status is looked at: that sees a rename over it, writing into it, and a symbolic link that leads elsewhere. */
const LOOK_EVERY_MS = 1_000;
/** How often it is read whatever its status says: a network's file system may keep that to itself. */
const READ_EVERY_MS = 60_000;

export interface SecretText {
  readonly text: string;
  /** A pipe is read once; there is nothing to look at again. */
  readonly isRegular: boolean;
}

/** @throws UnusableSecret, or what the system says */
export function readSecret(path: string): SecretText {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(MAX_BYTES + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read)
      read = readSync(file, bytes, length, bytes.length - length, null);
    return { text: textOf(bytes.subarray(0, length)), isRegular: fstatSync(file).isFile() };
  } finally {
    closeSync(file);
  }
}

/** What a file of secrets cannot be, and why. */
class UnusableSecret extends Error {
  override readonly name = 'UnusableSecret';
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** An editor or a shell that writes UTF-16 would else make a key of it that nobody can send. */
function textOf(bytes: Buffer): string {
  if (bytes.length > MAX_BYTES) throw new UnusableSecret(`it is larger than ${String(MAX_BYTES)} bytes`);
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    throw new UnusableSecret('it is no text in UTF-8', { cause });
  }
}

/** Why it cannot be had, in words. */
export function whyUnread(error: unknown): string {
  return error instanceof UnusableSecret ? error.message : (systemCode(error) ?? String(error));
}

export interface SecretChange {
  /** `API_KEYS_FILE`. */
  readonly name: string;
  /** Why it was not taken: what was read before goes on to hold. Empty where it was. */
  readonly problems: readonly string[];
}

export interface SecretSource {
  readonly name: string;
  readonly path: string;
  /** As it was read at the start. */
  readonly text: string;
  /** Takes another text, or says what is wrong with it. */
  readonly take: (text: string) => readonly string[];
}

/** One file that stands for a variable. What cannot be used changes nothing: an empty moment while it is written locks nobody out. */
export class SecretFile {
  readonly name: string;
  readonly #path: string;
  readonly #take: SecretSource['take'];
  #last: string;
  #turn = Promise.resolve();

  constructor(source: SecretSource) {
    this.name = source.name;
    this.#path = source.path;
    this.#take = source.take;
    this.#last = source.text;
  }

  /** From now until it is disposed of; `onChange` is told once of each change, whether it was taken or not. */
  watch(onChange: (change: SecretChange) => void): Disposable {
    const look = (): void => {
      this.#turn = this.#turn.then(() => this.#reread(onChange));
    };
    look();
    watchFile(this.#path, { interval: LOOK_EVERY_MS, persistent: false }, look);
    const reading = setInterval(look, READ_EVERY_MS).unref();
    return {
      [Symbol.dispose]: () => {
        unwatchFile(this.#path, look);
        clearInterval(reading);
      },
    };
  }

  async #reread(onChange: (change: SecretChange) => void): Promise<void> {
    const [text, problem] = await this.#read();
    if (text === this.#last) return;
    this.#last = text;
    onChange({ name: this.name, problems: problem === undefined ? this.#take(text) : [problem] });
  }

  /** What cannot be read counts as another text: it is told of once, and again when it can be read. */
  async #read(): Promise<[text: string, problem?: string]> {
    try {
      return [textOf(await buffer(createReadStream(this.#path, { end: MAX_BYTES })))];
    } catch (error) {
      const problem = `cannot be read (${whyUnread(error)})`;
      return [`\0${problem}`, problem];
    }
  }
}
