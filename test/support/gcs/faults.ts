/** Instructions, named as Google's storage-testbench names them, → what the next matching request meets. */
import assert from 'node:assert/strict';

/** One kind of request each; `chunk` has bytes and more to come, `final` states the total, `status` only asks. */
export type Operation =
  | 'insert'
  | 'start'
  | 'chunk'
  | 'final'
  | 'status'
  | 'cancel'
  | 'compose'
  | 'get'
  | 'media'
  | 'list'
  | 'delete'
  | 'patch'
  | 'signed';

/**
 * From the testbench: `return-X` (with `-wait-Ts`: a Retry-After), `return-X-after-YK`, `return-reset-connection`, `return-broken-stream-after-YK`,
 * `return-broken-stream-final-chunk-after-YB`, `return-corrupted-data`, `stall-for-Ts-after-YK`.
 *
 * Ours: `lose-answer` (everything is done, the connection breaks instead of an answer), `keep-nothing` and `keep-YK`
 * (308 that holds less), `forget-everything` (308 that holds nothing of what was confirmed), `expire-session`,
 * `damage-body` (a byte changes on its way in), `wrong-crc` (the answer states another checksum), `call:NAME`.
 */
export type Instruction = string;

export type Fault =
  | {
      readonly kind: 'return';
      readonly status: number;
      readonly afterBytes: number | undefined;
      readonly waitS?: string | undefined;
    }
  | { readonly kind: 'reset'; readonly afterBytes: number | undefined }
  | { readonly kind: 'stall'; readonly ms: number; readonly afterBytes: number }
  | { readonly kind: 'keep'; readonly bytes: number }
  | { readonly kind: 'call'; readonly run: () => void | Promise<void> }
  | { readonly kind: 'lose-answer' | 'forget-everything' | 'expire-session' | 'damage-body' | 'wrong-crc' | 'corrupt' };

interface Planned {
  readonly operation: Operation;
  readonly instruction: Instruction;
  readonly name: RegExp;
  readonly fault: Fault;
}

export class FaultPlan {
  readonly #planned: Planned[] = [];
  readonly #used = new Map<string, number>();

  /** Each instruction is for one request; of several for the same operation the first comes first. */
  plan(operation: Operation, instructions: readonly Instruction[], name = /(?:)/): void {
    for (const instruction of instructions) {
      this.#planned.push({ operation, instruction, name, fault: parseInstruction(instruction) });
    }
  }

  /** Runs before the next matching request is served as usual. */
  call(operation: Operation, run: () => void | Promise<void>, name = /(?:)/): void {
    this.#planned.push({ operation, instruction: 'call', name, fault: { kind: 'call', run } });
  }

  /** The fault this request meets, which is then used up. `uploaded`: bytes of the session once this request is in. */
  take(operation: Operation, name: string, uploaded = 0): Fault | undefined {
    const index = this.#planned.findIndex((planned) => {
      return planned.operation === operation && planned.name.test(name) && isDue(planned.fault, uploaded);
    });
    const [planned] = index < 0 ? [] : this.#planned.splice(index, 1);
    if (planned === undefined) return undefined;
    const key = `${planned.operation} ${planned.instruction}`;
    this.#used.set(key, (this.#used.get(key) ?? 0) + 1);
    return planned.fault;
  }

  /** How often each `operation instruction` fired. */
  get used(): ReadonlyMap<string, number> {
    return this.#used;
  }

  /** A fault that never fired proves nothing. */
  assertUsed(): void {
    const left = this.#planned.map(({ operation, instruction }) => `${operation} ${instruction}`);
    assert.deepEqual(left, [], 'faults that never fired');
  }
}

function isDue(fault: Fault, uploaded: number): boolean {
  const after = 'afterBytes' in fault ? fault.afterBytes : undefined;
  return after === undefined || uploaded === 0 || uploaded > after;
}

function parseInstruction(text: Instruction): Fault {
  const status = /^return-(\d{3})(?:-after-(\d+)K)?(?:-wait-(\d+)s)?$/.exec(text);
  if (status !== null) {
    return { kind: 'return', status: Number(status[1]), afterBytes: kibibytes(status[2]), waitS: status[3] };
  }
  const broken = /^return-(?:reset-connection|broken-stream)(?:-after-(\d+)K)?$/.exec(text);
  if (broken !== null) return { kind: 'reset', afterBytes: kibibytes(broken[1]) };
  const final = /^return-broken-stream-final-chunk-after-(\d+)B$/.exec(text);
  if (final !== null) return { kind: 'reset', afterBytes: Number(final[1]) };
  const stall = /^stall-for-(\d+)s-after-(\d+)K$/.exec(text);
  if (stall !== null) return { kind: 'stall', ms: Number(stall[1]) * 1000, afterBytes: Number(stall[2]) * 1024 };
  const keep = /^keep-(?:nothing|(\d+)K)$/.exec(text);
  if (keep !== null) return { kind: 'keep', bytes: kibibytes(keep[1]) ?? 0 };
  if (text === 'return-corrupted-data') return { kind: 'corrupt' };
  const plain = (['lose-answer', 'forget-everything', 'expire-session', 'damage-body', 'wrong-crc'] as const).find(
    (kind) => kind === text,
  );
  assert.ok(plain, `no such fault: ${text}`);
  return { kind: plain };
}

function kibibytes(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : Number(digits) * 1024;
}
