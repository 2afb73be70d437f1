/** A whole archive, or some days of it → every difference between what lies there and what should, by name; sums of each day. */
import type { Archive } from '../archive/archive.ts';
import { DaySums, isSameSet } from '../archive/day-sums.ts';
import { keyHeldBy } from '../archive/holds.ts';
import { inBatches } from '../archive/in-batches.ts';
import { inspectShelf, type Fault, type Inspection } from '../archive/inspect.ts';
import { canonicalSubject, DAYS, HELD_FILE, LEVELS_FILE, subjectKey } from '../archive/names.ts';
import { isInPart, type ReadPart } from '../archive/part.ts';
import { dayOf } from '../archive/records.ts';
import type { Shelf } from '../archive/shelf.ts';
import { rereadFaults } from '../archive/verify.ts';
import { inParallel } from '../days/day.ts';
import { Failure } from '../failure.ts';
import { keyOf, recordingOfKey, type Recording } from '../recording.ts';

export interface ArchiveFinding extends Fault {
  /** The UTC day it is listed under; undefined where nothing says so. */
  readonly day: string | undefined;
  /** `{conversationId|_}.{recordingId}`; a path below recordings/ for what can be no recording. */
  readonly key: string;
}

export interface SurveyNeeds {
  readonly archive: Pick<Archive, 'shelves' | 'shelfOf' | 'daysListed' | 'keysListed' | 'notes' | 'read' | 'original'>;
  /** Which recordings are read whole; none where it is absent. */
  readonly read?: ReadPart | undefined;
  readonly onFinding: (finding: ArchiveFinding) => void;
  /** Told of each recording. */
  readonly onProgress?: (survey: Survey) => void;
  readonly now: () => Date;
}

export interface DayFigures {
  readonly recordings: number;
  readonly bytes: number;
  readonly findings: number;
  /** Recordings whose bytes were read. */
  readonly read: number;
}

const NO_FIGURES: DayFigures = { recordings: 0, bytes: 0, findings: 0, read: 0 };

/** What a look found, in figures. */
export class Survey {
  /** Of the keys of each day's recordings, and of their manifests. */
  readonly keys = new DaySums();
  readonly manifests = new DaySums();
  readonly #days = new Map<string, DayFigures>();
  readonly #states = new Map<Fault['state'], number>();
  #recordings = 0;
  #bytes = 0;
  #read = 0;

  get recordings(): number {
    return this.#recordings;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get read(): number {
    return this.#read;
  }

  /** How often each state was found. */
  get states(): ReadonlyMap<Fault['state'], number> {
    return this.#states;
  }

  /** All of them together. */
  get findings(): number {
    return [...this.#states.values()].reduce((sum, count) => sum + count, 0);
  }

  days(): readonly string[] {
    return [...this.#days.keys()].toSorted();
  }

  figuresOf(day: string): DayFigures {
    return this.#days.get(day) ?? NO_FIGURES;
  }

  recording({ recording, manifestSha256, sizeBytes }: Inspection, day: string): void {
    if (recording === undefined || manifestSha256 === undefined) return;
    this.keys.add(day, keyOf(recording));
    this.manifests.add(day, manifestSha256);
    this.#recordings += 1;
    this.#bytes += sizeBytes;
    const figures = this.figuresOf(day);
    this.#days.set(day, { ...figures, recordings: figures.recordings + 1, bytes: figures.bytes + sizeBytes });
  }

  wasRead(day: string): void {
    this.#read += 1;
    const figures = this.figuresOf(day);
    this.#days.set(day, { ...figures, read: figures.read + 1 });
  }

  found({ state, day }: ArchiveFinding): void {
    this.#states.set(state, (this.#states.get(state) ?? 0) + 1);
    if (day === undefined) return;
    const figures = this.figuresOf(day);
    this.#days.set(day, { ...figures, findings: figures.findings + 1 });
  }

  /** That a day was looked at, whatever it holds. */
  day(day: string): void {
    this.#days.set(day, this.figuresOf(day));
  }
}

/** Everything under recordings/, and every day that lists any of it. */
export async function surveyAll(needs: SurveyNeeds, signal: AbortSignal): Promise<Survey> {
  const look = await openLook(needs, signal);
  const ranges = needs.archive.shelves(signal);
  const width = Math.ceil(WIDTH / ranges.length);
  await Promise.all(
    ranges.map(async (range) => {
      for await (const batch of inBatches(range, width)) await Promise.all(batch.map((shelf) => look.at(shelf)));
    }),
  );
  await look.again();
  await compareListings(look, needs, signal);
  return look.survey;
}

/** What these days list. A recording that its day does not list is seen by {@link surveyAll} alone. */
export async function surveyDays(days: readonly string[], needs: SurveyNeeds, signal: AbortSignal): Promise<Survey> {
  const look = await openLook(needs, signal);
  for (const day of days) {
    look.survey.day(day);
    await inParallel(needs.archive.keysListed(day, signal), WIDTH, (key) => look.atListed(key, day));
  }
  await look.again();
  return look.survey;
}

/** Shelves inspected at once. */
const WIDTH = 16;
/** What was written later may be in the making: it is looked at once more at the end. */
const YOUNG_MS = 15 * 60_000;
/** Young ones remembered for that; what is beyond is told at once. */
const MOST_YOUNG = 10_000;
/** More than so many in a row are no fault of theirs: the archive cannot be read. */
const MOST_UNREADABLE = 32;
/** Keys held in memory while days are compared by name: about 100 bytes each. */
const MOST_KEYS = 200_000;

async function openLook(needs: SurveyNeeds, signal: AbortSignal): Promise<SurveyWalk> {
  const held = new Set<string>();
  for await (const { name } of needs.archive.notes.list('holds/', signal)) held.add(keyHeldBy(name) ?? '');
  return new SurveyWalk(needs, held, signal);
}

/** One look at an archive: what it has seen, and what it has to see again. */
class SurveyWalk {
  readonly survey = new Survey();
  readonly #needs: SurveyNeeds;
  /** Keys that a hold lies on; `{conversationId}._` for a whole conversation. */
  readonly #held: ReadonlySet<string>;
  readonly #signal: AbortSignal;
  readonly #young: string[] = [];
  /** Recordings in a row that could not be read. */
  #unreadable = 0;

  constructor(needs: SurveyNeeds, held: ReadonlySet<string>, signal: AbortSignal) {
    this.#needs = needs;
    this.#held = held;
    this.#signal = signal;
  }

  async at(shelf: Shelf): Promise<void> {
    const inspection = await inspectShelf(shelf);
    const isYoung = this.#needs.now().getTime() - inspection.writtenMs < YOUNG_MS;
    if (
      inspection.recording !== undefined &&
      inspection.faults.length > 0 &&
      isYoung &&
      this.#young.length < MOST_YOUNG
    )
      this.#young.push(keyOf(inspection.recording));
    else await this.#take(shelf, inspection);
  }

  /** `day` lists it: what is not there then is a stray. */
  async atListed(key: string, day: string): Promise<void> {
    const { shelf, inspection } = await this.inspect(key);
    if (shelf === undefined) return this.found(strayEntry(day, key, NOT_THERE));
    // A deposit that lost against another one may have left an entry on its own day.
    if (inspection?.day === undefined || inspection.day === day) await this.at(shelf);
  }

  /** At those that were young. */
  async again(): Promise<void> {
    for (const key of this.#young) {
      const { shelf, inspection } = await this.inspect(key);
      if (shelf !== undefined && inspection !== undefined) await this.#take(shelf, inspection);
    }
  }

  async inspect(key: string): Promise<{ readonly shelf?: Shelf; readonly inspection?: Inspection }> {
    const recording = recordingOfKey(key);
    if (recording === undefined) return {};
    const shelf = await this.#needs.archive.shelfOf(recording, this.#signal);
    return shelf === undefined ? {} : { shelf, inspection: await inspectShelf(shelf) };
  }

  found(finding: ArchiveFinding): void {
    this.survey.found(finding);
    this.#needs.onFinding(finding);
  }

  async #take(shelf: Shelf, inspection: Inspection): Promise<void> {
    const { day } = inspection;
    const key = inspection.recording === undefined ? inspection.path : keyOf(inspection.recording);
    if (day !== undefined) this.survey.recording(inspection, day);
    const faults = [
      ...inspection.faults,
      ...this.#holdFaults(shelf, inspection.recording),
      ...(await this.#reread(inspection, key)),
    ];
    for (const fault of faults) this.found({ day, key, ...fault });
    this.#needs.onProgress?.(this.survey);
  }

  #holdFaults(shelf: Shelf, recording: Recording | undefined): readonly Fault[] {
    if (recording === undefined) return [];
    const { conversationId } = canonicalSubject(recording);
    const isHeld =
      this.#held.has(subjectKey(canonicalSubject(recording))) || this.#held.has(`${conversationId ?? '_'}._`);
    const free = isHeld ? filesWithoutHold(shelf) : [];
    return free.length === 0 ? [] : [{ state: 'unheld', reason: `a case holds it, but not ${free.join(', ')}` }];
  }

  /** What is wrong already needs no reading. */
  async #reread({ manifest, faults }: Inspection, key: string): Promise<readonly Fault[]> {
    const { archive, read } = this.#needs;
    if (manifest === undefined || faults.length > 0 || read === undefined || !isInPart(key, read)) return [];
    const wrong = await rereadFaults(manifest, archive, this.#signal);
    this.survey.wasRead(dayOf(manifest));
    const unreadable = wrong.find(({ state }) => state === 'unreadable');
    this.#unreadable = unreadable === undefined ? 0 : this.#unreadable + 1;
    if (this.#unreadable > MOST_UNREADABLE)
      throw new Failure('archive-unavailable', `Nothing in the archive can be read now. ${unreadable?.reason ?? ''}`);
    return wrong;
  }
}

/** In a folder one file holds all beside it. */
function filesWithoutHold({ files }: Shelf): readonly string[] {
  const free = files.filter(({ file, isHeld }) => isHeld === false && file !== LEVELS_FILE).map(({ file }) => file);
  const isFolder = files.every(({ isHeld }) => isHeld === undefined);
  return isFolder && !files.some(({ file }) => file === HELD_FILE) ? [HELD_FILE] : free;
}

const NOT_THERE = 'nothing lies under recordings/';

function strayEntry(day: string, key: string, why: string): ArchiveFinding {
  return { day, key, state: 'stray', file: `${DAYS}${day}/${key}`, reason: `its day lists it, and ${why}` };
}

function unlistedEntry(day: string, key: string): ArchiveFinding {
  const reason = 'its day does not list it, so that no listing by day shows it';
  return { day, key, state: 'incomplete', file: `${DAYS}${day}/${key}`, reason };
}

/** Whether each day lists what belongs to it, and nothing else; named only where the sums of a day differ. */
async function compareListings(look: SurveyWalk, needs: SurveyNeeds, signal: AbortSignal): Promise<void> {
  const { archive } = needs;
  const listed = new DaySums();
  await inParallel(archive.daysListed(signal), WIDTH, async (day) => {
    for await (const key of archive.keysListed(day, signal)) listed.add(day, key);
  });
  const { keys } = look.survey;
  const days = [...new Set([...keys.days(), ...listed.days()])].toSorted();
  const differing = days.filter((day) => !isSameSet(listed.of(day), keys.of(day)));
  for (const group of groupsOf(differing, (day) => keys.of(day).count))
    await nameDifferences(group, { look, archive }, signal);
}

/** Days whose keys fit into memory together; a day alone always does. */
function groupsOf(days: readonly string[], countOf: (day: string) => number): readonly (readonly string[])[] {
  const groups: string[][] = [];
  let room = 0;
  for (const day of days) {
    if (room < countOf(day) || groups.length === 0) room = groups.push([]) && MOST_KEYS;
    groups.at(-1)?.push(day);
    room -= countOf(day);
  }
  return groups;
}

async function nameDifferences(
  days: readonly string[],
  { look, archive }: { readonly look: SurveyWalk; readonly archive: SurveyNeeds['archive'] },
  signal: AbortSignal,
): Promise<void> {
  const there = new Map(days.map((day) => [day, new Set<string>()]));
  for (const range of archive.shelves(signal)) {
    for await (const shelf of range) {
      const inspection = await inspectShelf(shelf);
      const { recording, manifest, day = '' } = inspection;
      if (recording !== undefined && manifest !== undefined) there.get(day)?.add(keyOf(recording));
    }
  }
  for (const [day, keys] of there) {
    for await (const key of archive.keysListed(day, signal)) if (!keys.delete(key)) await nameStray(key, day, look);
    for (const key of keys) look.found(unlistedEntry(day, key));
  }
}

/** What has come since, or lies on another day, is none. */
async function nameStray(key: string, day: string, look: SurveyWalk): Promise<void> {
  const { shelf, inspection } = await look.inspect(key);
  if (shelf === undefined) look.found(strayEntry(day, key, NOT_THERE));
  else if (inspection?.manifest === undefined && shelf.isErased) look.found(strayEntry(day, key, 'it was erased'));
}
