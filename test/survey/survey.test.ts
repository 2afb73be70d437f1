/** What verify finds, in a folder and in a bucket: each thing that can be wrong is its own finding, and nothing else is. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fc } from '../support/generated.ts';
import { isInPart } from '../../src/archive/part.ts';
import { type ArchiveFinding, surveyAll, surveyDays, type Survey, type SurveyNeeds } from '../../src/survey/survey.ts';
import { bytesOf, store } from '../support/archive/content.ts';
import { PREFIX } from '../support/archive/bucket.ts';
import { changeObject, openBucketPlace, type Place, PLACES } from '../support/archive/places.ts';

const { signal } = new AbortController();
/** Everything stored here is then older than what may be in the making. */
const LATER = new Date(Date.now() + 3_600_000);
const DAY = '2026-03-01';

const RECORDINGS = ['c1/r1', 'c1/r2', 'c2/r1', '_/r9', '0a5/r1', 'f/r1'];

async function fill({ archive }: Place): Promise<void> {
  for (const path of RECORDINGS) {
    const [conversation = '', recordingId = ''] = path.split('/');
    const conversationId = conversation === '_' ? undefined : conversation;
    await store(
      archive,
      { recordingId, conversationId },
      {
        head: bytesOf(`${path} head`, 100),
        clusters: [bytesOf(path, 900)],
        originals: [bytesOf(`${path} 0`, 300), bytesOf(`${path} 1`, 310)],
      },
    );
  }
}

interface Looked {
  readonly survey: Survey;
  readonly findings: readonly ArchiveFinding[];
}

async function look(place: Place, more: Partial<SurveyNeeds> & { days?: readonly string[] } = {}): Promise<Looked> {
  const findings: ArchiveFinding[] = [];
  const { days, ...others } = more;
  const onFinding = (finding: ArchiveFinding): void => void findings.push(finding);
  const needs = { archive: place.archive, now: () => LATER, onFinding, ...others };
  const survey = days === undefined ? await surveyAll(needs, signal) : await surveyDays(days, needs, signal);
  return { survey, findings };
}

function said(findings: readonly ArchiveFinding[]): readonly string[] {
  return findings.map(({ state, day = '-', key, file = '' }) => `${state} ${day} ${key} ${file}`.trim()).toSorted();
}

const AT = 'recordings/c1/r1/';

async function flip(place: Place, name: string): Promise<void> {
  const bytes = Buffer.from(await place.bytes(name));
  bytes.writeUInt8((bytes.at(-1) ?? 0) ^ 1, bytes.length - 1);
  await place.write(name, bytes);
}

async function swap(place: Place, file: string): Promise<void> {
  const [a, b] = [`recordings/c1/r1/${file}`, `recordings/c2/r1/${file}`];
  const [bytesA, bytesB] = [await place.bytes(a), await place.bytes(b)];
  await place.write(a, bytesB);
  await place.write(b, bytesA);
}

interface Case {
  readonly what: string;
  readonly damage: (place: Place) => Promise<unknown>;
  readonly expect: readonly string[];
  /** Where a bucket knows more, or other things. */
  readonly inBucket?: readonly string[];
  /** Where only reading finds it in a folder. */
  readonly onlyRead?: true;
}

const CASES: readonly Case[] = [
  { what: 'nothing', damage: () => Promise.resolve(), expect: [] },
  {
    what: 'one byte of a WebM is another',
    damage: (place) => flip(place, `${AT}recording.webm`),
    expect: [`damaged ${DAY} c1.r1 recording.webm`],
    onlyRead: true,
  },
  {
    what: 'a WebM is cut',
    damage: async (place) => place.write(`${AT}recording.webm`, (await place.bytes(`${AT}recording.webm`)).subarray(1)),
    expect: [`damaged ${DAY} c1.r1 recording.webm`],
  },
  {
    what: 'a WebM is empty',
    damage: (place) => place.write(`${AT}recording.webm`, ''),
    expect: [`damaged ${DAY} c1.r1 recording.webm`],
  },
  {
    what: 'a WebM is gone',
    damage: (place) => place.remove(`${AT}recording.webm`),
    expect: [`damaged ${DAY} c1.r1 recording.webm`],
  },
  {
    what: 'a manifest is gone',
    damage: (place) => place.remove(`${AT}manifest.json`),
    expect: ['unproven - c1.r1 manifest.json'],
    inBucket: [`incomplete ${DAY} c1.r1 manifest.json`],
  },
  {
    what: 'a manifest is no JSON',
    damage: (place) => place.write(`${AT}manifest.json`, '{"version":1,'),
    expect: ['unreadable - c1.r1 manifest.json'],
  },
  {
    what: 'a manifest says something else of the WebM',
    damage: async (place) => {
      const text = (await place.bytes(`${AT}manifest.json`)).toString();
      await place.write(`${AT}manifest.json`, text.replace('"channels": 2', '"channels": 1'));
    },
    expect: [],
    inBucket: [`damaged ${DAY} c1.r1 manifest.json`],
  },
  {
    what: 'a manifest says another size',
    damage: async (place) => {
      const text = (await place.bytes(`${AT}manifest.json`)).toString();
      await place.write(`${AT}manifest.json`, text.replace('"sizeBytes": 1000', '"sizeBytes": 1001'));
    },
    expect: [`damaged ${DAY} c1.r1 recording.webm`],
  },
  {
    what: 'an original is gone',
    damage: (place) => place.remove(`${AT}original.1.opus`),
    expect: [`incomplete ${DAY} c1.r1 original.1.opus`],
  },
  {
    what: 'an original is cut',
    damage: (place) => place.write(`${AT}original.0.opus`, bytesOf('c1/r1 0', 299)),
    expect: [`damaged ${DAY} c1.r1 original.0.opus`],
  },
  {
    what: 'two WebMs of a size have changed places',
    damage: (place) => swap(place, 'recording.webm'),
    expect: [`damaged ${DAY} c1.r1 recording.webm`, `damaged ${DAY} c2.r1 recording.webm`],
    onlyRead: true,
  },
  {
    what: 'two manifests have changed places',
    damage: (place) => swap(place, 'manifest.json'),
    expect: [`damaged ${DAY} c1.r1 manifest.json`, `damaged ${DAY} c2.r1 manifest.json`],
  },
  {
    what: 'a file that belongs to no recording lies beside one',
    damage: (place) => place.write(`${AT}notes.txt`, 'x'),
    expect: [`stray ${DAY} c1.r1 notes.txt`],
  },
  {
    what: 'files lie where no recording can',
    damage: async (place) => {
      await place.write('recordings/loose', 'x');
      await place.write('recordings/c1/loose', 'x');
      await place.write('recordings/c1/a b/recording.webm', 'x');
      await place.write('recordings/c1/r1/deeper/x', 'x');
    },
    expect: [
      'stray -  loose',
      'stray - c1 loose',
      'stray - c1/a b recording.webm',
      `stray ${DAY} c1.r1 deeper/x`,
    ].toSorted(),
  },
  {
    what: 'a WebM that nobody made has no manifest',
    damage: (place) => place.write('recordings/c1/foreign/recording.webm', 'x'),
    expect: ['unproven - c1.foreign manifest.json'],
  },
  {
    what: 'an original is alone',
    damage: (place) => place.write('recordings/c1/alone/original.opus', 'x'),
    expect: ['stray - c1.alone original.opus'],
  },
  {
    what: 'a day lists what is not there, on a day of its own as well',
    damage: async (place) => {
      await place.write(`days/${DAY}/c1.none`, '');
      await place.write('days/2026-07-07/c1.none', '');
      await place.write(`days/${DAY}/nonsense`, '');
    },
    expect: [
      'stray 2026-07-07 c1.none days/2026-07-07/c1.none',
      `stray ${DAY} c1.none days/${DAY}/c1.none`,
      `stray ${DAY} nonsense days/${DAY}/nonsense`,
    ].toSorted(),
  },
  {
    what: 'a day does not list what is there',
    damage: (place) => place.remove(`days/${DAY}/c1.r2`),
    expect: [`incomplete ${DAY} c1.r2 days/${DAY}/c1.r2`],
  },
  {
    what: 'another day lists it too, as a deposit that lost leaves it',
    damage: (place) => place.write('days/2026-03-02/c1.r2', ''),
    expect: [],
  },
  {
    what: 'a recording was erased, and is there',
    damage: (place) => place.write('erased/c1.r2.json', '{}'),
    expect: [`stray ${DAY} c1.r2 days/${DAY}/c1.r2`, 'undead - c1.r2'],
  },
  {
    what: 'a recording of no conversation was erased, and is there',
    damage: async (place) => {
      for (const other of ['_.a', '_.r8', '_.r9', '_.z']) await place.write(`erased/${other}.json`, '{}');
    },
    expect: [`stray ${DAY} _.r9 days/${DAY}/_.r9`, 'undead - _.r9'],
  },
  {
    what: 'a whole conversation was erased, and is there',
    damage: async (place) => {
      await place.write('erased/c1._.json', '{}');
      await place.write('erased/c0.x.json', '{}');
    },
    expect: [
      `stray ${DAY} c1.r1 days/${DAY}/c1.r1`,
      `stray ${DAY} c1.r2 days/${DAY}/c1.r2`,
      'undead - c1.r1',
      'undead - c1.r2',
    ],
  },
  {
    what: 'holds lie on a recording and on a conversation, and not on the objects',
    damage: async (place) => {
      await place.write('holds/c1.r1/K-17.json', '{}');
      await place.write('holds/c2._/K-18.json', '{}');
      if (place.server === undefined) return place.write(`${AT}held`, '');
      for (const file of ['recording.webm', 'original.0.opus', 'original.1.opus'])
        changeObject(place.server, `${PREFIX}/${AT}${file}`, { temporaryHold: true });
    },
    expect: [`unheld ${DAY} c2.r1`],
    inBucket: [`unheld ${DAY} c1.r1`, `unheld ${DAY} c2.r1`],
  },
  {
    what: 'levels lie beside a recording',
    damage: (place) => place.write(`${AT}levels.bin`, 'x'),
    expect: [],
  },
];

for (const [name, open] of PLACES) {
  describe(`verify in a ${name}`, () => {
    for (const { what, damage, expect, inBucket, onlyRead } of CASES) {
      test(`${what}: exactly that is found`, { timeout: 240_000 }, async () => {
        await using place = await open();
        await fill(place);
        await damage(place);
        const expected = name === 'bucket' ? (inBucket ?? expect) : expect;
        const { findings, survey } = await look(place);
        const isSilent = onlyRead === true && name === 'folder';
        assert.deepEqual(said(findings), isSilent ? [] : expected);
        assert.equal(place.server?.count('media') ?? 0, mediaAsked(place), 'no media is read');
        assert.ok(survey.recordings <= RECORDINGS.length);
        const read = await look(place, { read: { part: 1, of: 1 } });
        assert.deepEqual(said(read.findings), expected, 'with --read the same');
      });
    }

    test('days that are named are looked at alone, by what they list', { timeout: 240_000 }, async () => {
      await using place = await open();
      await fill(place);
      await place.write(`${AT}recording.webm`, 'cut');
      await place.write('days/2026-07-07/c1.none', '');
      await place.write('days/2026-07-07/c1.r2', '');
      assert.deepEqual(said((await look(place, { days: [DAY] })).findings), [`damaged ${DAY} c1.r1 recording.webm`]);
      const other = await look(place, { days: ['2026-07-07', '2026-07-08'] });
      assert.deepEqual(said(other.findings), ['stray 2026-07-07 c1.none days/2026-07-07/c1.none']);
      assert.deepEqual(other.survey.days(), ['2026-07-07', '2026-07-08']);
    });

    test('what may be in the making is looked at once more at the end', { timeout: 240_000 }, async () => {
      await using place = await open();
      await fill(place);
      const manifest = await place.bytes(`${AT}manifest.json`);
      await place.remove(`${AT}manifest.json`);
      const now = (): Date => new Date();
      const done = await look(place, { now, onProgress: () => void place.write(`${AT}manifest.json`, manifest) });
      assert.deepEqual([said(done.findings), done.survey.recordings], [[], RECORDINGS.length]);
      await place.remove(`${AT}manifest.json`);
      assert.equal((await look(place, { now })).findings.length, 1, 'what stays so is found');
    });

    test(
      'one byte anywhere in a recording is found by reading its part, and by no other',
      { timeout: 240_000 },
      async () => {
        await using place = await open();
        await fill(place);
        await flip(place, `${AT}original.1.opus`);
        const found: number[] = [];
        let read = 0;
        for (let part = 1; part <= 4; part += 1) {
          const looked = await look(place, { read: { part, of: 4 } });
          read += looked.survey.read;
          if (looked.findings.length > 0) found.push(part);
        }
        assert.equal(read, RECORDINGS.length, 'four parts are all of it, each recording once');
        assert.deepEqual(found, [[1, 2, 3, 4].find((part) => isInPart('c1.r1', { part, of: 4 }))]);
      },
    );
  });
}

/** Of those, only small texts: manifests that are not what the WebM carries. */
function mediaAsked({ server }: Place): number {
  return (
    server?.seen.filter(({ operation, name }) => operation === 'media' && !/\.(webm|opus)$/.test(name)).length ?? 0
  );
}

test('every key lies in exactly one of the parts', () => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 40 }), (key, of) => {
      const parts = Array.from({ length: of }, (_, index) => ({ part: index + 1, of }));
      assert.equal(parts.filter((part) => isInPart(key, part)).length, 1);
    }),
    { seed: 7, numRuns: 100 },
  );
});

test(
  'of what a bucket archive has stored itself no object is read, not even a manifest',
  { timeout: 240_000 },
  async () => {
    await using place = await openBucketPlace();
    await fill(place);
    const levels = {
      picture: ['0123456789abcdef0123456789ab', 'f'.repeat(28)],
      speakingS: [1.5, 2],
      bothS: 0.1,
      silentS: 0.4,
      longestSilenceS: 0.2,
    };
    const odd = {
      why: 'Grüße — „x“ \u{1F600}',
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      levels,
    };
    const content = { head: bytesOf('odd', 100), clusters: [bytesOf('odd c', 900)], facts: odd };
    await store(place.archive, { conversationId: 'c9', recordingId: 'r' }, content);
    const { server } = place;
    assert.ok(server !== undefined);
    server.seen.length = 0;
    const { findings, survey } = await look(place);
    assert.deepEqual([said(findings), survey.recordings], [[], RECORDINGS.length + 1]);
    assert.deepEqual([server.count('media'), server.count('get')], [0, 0]);
  },
);
