/** Loaded before a program (`--import`): its wall clock goes CLOCK_SHIFT_MS before that of the machine. */
const Right = globalThis.Date;

class Shifted extends Right {
  constructor(...given: readonly unknown[]) {
    if (given.length === 0) super(Shifted.now());
    else super(...(given as ConstructorParameters<typeof Date>));
  }

  static override now(): number {
    return Right.now() + Number(process.env['CLOCK_SHIFT_MS'] ?? '0');
  }
}

Reflect.set(globalThis, 'Date', Shifted);
