/** The contract of src/archive/notes.ts as tests: every archive runs them, over its real store. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fc } from '../support/generated.ts';
import type { ListedNote, Notes } from '../../src/archive/notes.ts';
import { SEED } from '../support/soak.ts';
import type { ArchiveHarness } from './suite.ts';

const signal = (): AbortSignal => AbortSignal.timeout(200_000);

async function all(listed: AsyncIterable<ListedNote>): Promise<ListedNote[]> {
  const notes: ListedNote[] = [];
  for await (const note of listed) notes.push(note);
  return notes;
}

export function notesSuite(name: string, open: () => Promise<ArchiveHarness>): void {
  const check = (sentence: string, run: (notes: Notes, harness: ArchiveHarness) => Promise<void>): void => {
    test(sentence, { timeout: 400_000 }, async () => {
      const harness = await open();
      try {
        await run(harness.archive.notes, harness);
      } finally {
        await harness.close();
      }
    });
  };

  describe(`${name} keeps the contract of notes`, () => {
    check('what was created is read as it was, once, and another process sees it', async (notes, harness) => {
      assert.equal(await notes.read('erased/c.r.json', signal()), undefined);
      assert.equal(await notes.create('erased/c.r.json', '{"a":"ü"}', signal()), true);
      assert.equal(await notes.create('erased/c.r.json', '{"b":1}', signal()), false);
      const another = await harness.another();
      assert.equal(await another.notes.read('erased/c.r.json', signal()), '{"a":"ü"}');
    });

    check('of many that create one name at once exactly one does', async (notes) => {
      const made = await Promise.all(
        Array.from({ length: 20 }, (_, index) => notes.create('holds/c._/case.json', String(index), signal())),
      );
      assert.equal(made.filter(Boolean).length, 1);
      assert.equal(await notes.read('holds/c._/case.json', signal()), String(made.indexOf(true)));
    });

    check('"the latest" is replaced whole', async (notes) => {
      for (const text of ['1', '22', '333']) assert.equal(await notes.replace('status/i.json', text, signal()), true);
      assert.equal(await notes.read('status/i.json', signal()), '333');
    });

    check('names are listed by prefix, also those with ids as long as ids may be', async (notes, harness) => {
      const [c, r] = ['c'.repeat(128), 'r'.repeat(128)];
      const names = [
        `erased/${c}.${r}.json`,
        'erased/a.b.json',
        `holds/${c}.${r}/case-1.json`,
        'holds/a._/case-1.json',
        'holds/a._/case-2.json',
      ];
      for (const name of names) await notes.create(name, name, signal());
      const listed = async (prefix: string): Promise<string[]> =>
        (await all(notes.list(prefix, signal()))).map((note) => note.name);
      assert.deepEqual((await listed('erased/')).toSorted(), names.slice(0, 2).toSorted());
      assert.deepEqual(await listed('holds/a._/'), names.slice(3));
      assert.deepEqual(await listed(`holds/${c}.${r}/`), [names[2]]);
      assert.deepEqual(await listed('proofs/'), []);
      const [first] = await all(notes.list('erased/a', signal()));
      assert.equal(first?.sizeBytes, 'erased/a.b.json'.length);
      assert.ok(Math.abs(Date.parse(first.writtenAt) - Date.now()) < 120_000);
      for (const name of names) assert.equal(await notes.remove(name, signal()), true);
      assert.equal(await notes.remove('erased/a.b.json', signal()), false);
      assert.deepEqual(
        (await harness.objects()).filter((name) => /^(erased|holds)/.test(name)),
        [],
      );
    });

    check('no name leads out of the folders of notes', async (notes, harness) => {
      const odd = [
        '../x.json',
        'erased/../../x',
        'erased/./x',
        'recordings/c/r/manifest.json',
        'erased',
        'erased/',
        '/erased/x',
        'erased//x',
        'erased/a b',
        'erased/ü',
        'erased/a\0b',
        'holds/../recordings/x',
        '',
      ];
      for (const name of odd) {
        await assert.rejects(notes.create(name, 'x', signal()), { code: 'bad-request' }, name);
        await assert.rejects(notes.read(name, signal()), { code: 'bad-request' }, name);
        await assert.rejects(notes.remove(name, signal()), { code: 'bad-request' }, name);
      }
      assert.deepEqual(await harness.objects(), []);
    });

    check('any text comes back as it was', async (notes) => {
      let number = 0;
      await fc.assert(
        fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 300 }), async (text) => {
          const name = `proofs/2026-11-26/${String((number += 1))}.json`;
          await notes.create(name, text.toWellFormed(), signal());
          assert.equal(await notes.read(name, signal()), text.toWellFormed());
        }),
        { numRuns: 30, seed: SEED },
      );
    });
  });
}
