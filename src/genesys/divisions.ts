/** The divisions of an organization → their names by id, as pages show them. */
import { Failure } from '../failure.ts';
import { Fields } from '../fields.ts';
import type { Api } from './api.ts';

const PER_PAGE = 100;
/** An organization has 50 at first, and more on request. */
const MOST_PAGES = 20;

/** `GET /api/v2/authorization/divisions`; undefined where this client may not be told. @throws Failure of Genesys */
export async function askDivisionNames(
  api: Api,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string> | undefined> {
  const names = new Map<string, string>();
  for (let page = 1; page <= MOST_PAGES; page += 1) {
    const path = `/api/v2/authorization/divisions?pageSize=${String(PER_PAGE)}&pageNumber=${String(page)}`;
    const answer = await unlessRefused(() => api.ask({ path, caller: 'worker' }, signal));
    if (answer === undefined) return undefined;
    const entities = Fields.in(answer.body)?.array('entities') ?? [];
    for (const entity of entities) {
      const [id, name] = [Fields.in(entity)?.text('id'), Fields.in(entity)?.text('name')];
      if (id !== undefined && name !== undefined) names.set(id, name);
    }
    if (entities.length < PER_PAGE) break;
  }
  return names;
}

async function unlessRefused<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (thrown) {
    if (thrown instanceof Failure && ['forbidden', 'not-found', 'bad-request'].includes(thrown.code)) return undefined;
    throw thrown;
  }
}
