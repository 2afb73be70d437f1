/** Makes calls of the file system fail as other file systems would, for code that imports them by name. */
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import type { FileHandle } from 'node:fs/promises';
import type { TestContext } from 'node:test';

type Name = 'link' | 'rename' | 'chmod' | 'mkdir' | 'unlink';

/** Called in place of the real one, which it is given; restored at the end of the test. */
export function replaceCall(
  t: TestContext,
  name: Name,
  replacement: (real: (...args: readonly string[]) => Promise<unknown>, ...args: readonly string[]) => Promise<unknown>,
): void {
  const real: unknown = Reflect.get(fs, name);
  if (typeof real !== 'function') throw new Error(`no function ${name}`);
  t.mock.method(fs, name, (...args: readonly string[]) =>
    replacement((...own) => Reflect.apply(real, fs, own), ...args),
  );
  syncBuiltinESMExports();
  t.after(() => {
    t.mock.restoreAll();
    syncBuiltinESMExports();
  });
}

/** Fails always. */
export function failCall(t: TestContext, name: Name, code: string): void {
  replaceCall(t, name, async () => {
    throw systemError(code, name);
  });
}

/** fsync, chmod and stat of open files and folders. */
export async function replaceHandle(
  t: TestContext,
  name: 'sync' | 'datasync' | 'chmod' | 'stat',
  replacement: (handle: FileHandle, real: () => Promise<unknown>) => Promise<unknown>,
): Promise<void> {
  await using file = await fs.open(import.meta.filename);
  const prototype: unknown = Object.getPrototypeOf(file);
  if (typeof prototype !== 'object' || prototype === null) throw new Error('no prototype of file handles');
  const real: unknown = Reflect.get(prototype, name);
  if (typeof real !== 'function') throw new Error(`no method ${name}`);
  Reflect.set(prototype, name, function (this: FileHandle, ...args: readonly unknown[]): Promise<unknown> {
    return replacement(this, () => Reflect.apply(real, this, args));
  });
  t.after(() => Reflect.set(prototype, name, real));
}

export function systemError(code: string, syscall: string): Error {
  return Object.assign(new Error(`${code}: ${syscall}`), { code, syscall });
}
