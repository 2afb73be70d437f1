/** What lies on disk of MP4 that has to wait for its index: bounded for all together, and listeners take nothing from the archive (A8). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../../src/failure.ts';
import { Spools, type Spool } from '../../../src/media/mp4/spool.ts';
import { Purpose } from '../../../src/media/purpose.ts';

const KIB = 1024;

async function* chunks(count: number): AsyncGenerator<Buffer, void, void> {
  for (let number = 0; number < count; number += 1) yield Buffer.alloc(KIB, number);
}

function isFailure(code: string): (error: unknown) => boolean {
  return (error) => error instanceof Failure && error.code === code && (code !== 'busy' || (error.afterMs ?? 0) > 0);
}

async function withSpools(
  run: (open: (purpose: Purpose) => Promise<Spool>, spools: Spools) => Promise<void>,
): Promise<void> {
  const spools = new Spools({ archivingBytes: 10 * KIB, listeningBytes: 4 * KIB });
  const opened: Spool[] = [];
  const open = async (purpose: Purpose): Promise<Spool> => {
    const spool = await spools.open(purpose);
    opened.push(spool);
    return spool;
  };
  try {
    await run(open, spools);
  } finally {
    for (const spool of opened) await spool.close();
  }
  assert.equal(spools.heldBytes, 0);
}

test('listeners share one bound, and the archive has its own, untouched by them (A8)', async () => {
  await withSpools(async (open, spools) => {
    const [one, two] = [await open(new Purpose('listening')), await open(new Purpose('listening'))];
    await one.fill(chunks(3));
    await assert.rejects(two.fill(chunks(2)), isFailure('busy'));
    const archived = await open(new Purpose('archiving'));
    await archived.fill(chunks(10));
    assert.equal(spools.heldBytes, 15 * KIB);
  });
});

test('what is too large for the archive alone is said to be; what is so beside others waits for them', async () => {
  await withSpools(async (open) => {
    const large = await open(new Purpose('archiving'));
    await assert.rejects(large.fill(chunks(11)), isFailure('media-too-large'));
    await large.close();
    const [one, two] = [await open(new Purpose('archiving')), await open(new Purpose('archiving'))];
    await one.fill(chunks(6));
    await assert.rejects(two.fill(chunks(6)), isFailure('busy'));
    await one.close();
    const again = await open(new Purpose('archiving'));
    await again.fill(chunks(3));
  });
});

test('what a listener began and the archive joined counts as the archive’s', async () => {
  await withSpools(async (open) => {
    const purpose = new Purpose('listening');
    const spool = await open(purpose);
    purpose.become('archiving');
    await spool.fill(chunks(9));
    await (await open(new Purpose('listening'))).fill(chunks(4));
  });
});
