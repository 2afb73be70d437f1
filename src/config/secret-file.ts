/** The file that X_FILE names → what X is, again each time the file changes, without a restart. */
import { closeSync, fstatSync, openSync, readFileSync, unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
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

/** @throws Error whose message says why it cannot be had: the file is too large, or the system's word */
export function readSecret(path: string): SecretText {
  const file = openSync(path, 'r');
  try {
    return { text: withinBounds(readFileSync(file)), isRegular: fstatSync(file).isFile() };
  } finally {
    closeSync(file);
  }
}

function withinBounds(bytes: Buffer): string {
  if (bytes.length > MAX_BYTES) throw new Error(`larger than ${String(MAX_BYTES)} bytes`);
  return bytes.toString('utf8');
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
      return [withinBounds(await readFile(this.#path))];
    } catch (error) {
      const problem = `cannot be read (${systemCode(error) ?? String(error)})`;
      return [`\0${problem}`, problem];
    }
  }
}
