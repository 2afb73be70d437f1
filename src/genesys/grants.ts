/** What Genesys says of the roles of a client → in which divisions it may do what. */
import { Fields } from '../fields.ts';

/** What a role allows in one division. */
export interface DivisionGrant {
  /** `*` is every division. */
  readonly division: string;
  /** `domain:entity:action`; each part may be `*`. */
  readonly permissions: readonly string[];
}

/** Asked with any token: https://developer.genesys.cloud/platform/api (GET /api/v2/authorization/subjects/me) */
export const GRANTS_PATH = '/api/v2/authorization/subjects/me';

/** undefined where the answer tells of none, not even of an empty list. */
export function grantsIn(body: unknown): readonly DivisionGrant[] | undefined {
  return Fields.in(body)
    ?.array('grants')
    ?.flatMap((grant) => grantOf(Fields.in(grant)));
}

function grantOf(grant: Fields | undefined): readonly DivisionGrant[] {
  const division = grant?.fields('division')?.text('id');
  const policies = grant?.fields('role')?.array('policies');
  if (division === undefined || policies === undefined) return [];
  return [{ division, permissions: policies.flatMap((policy) => permissionsOf(Fields.in(policy))) }];
}

function permissionsOf(policy: Fields | undefined): readonly string[] {
  const [domain, entity, actions] = [policy?.text('domain'), policy?.text('entityName'), policy?.array('actions')];
  if (domain === undefined || entity === undefined) return [];
  return (actions ?? []).flatMap((action) => (typeof action === 'string' ? [`${domain}:${entity}:${action}`] : []));
}

/** Divisions in which the permission is granted; `*` alone where it is in all of them. */
export function divisionsWith(permission: string, grants: readonly DivisionGrant[]): readonly string[] {
  const wanted = permission.split(':');
  const allows = (given: string): boolean => given.split(':').every((part, at) => part === '*' || part === wanted[at]);
  const divisions = grants.filter(({ permissions }) => permissions.some(allows)).map(({ division }) => division);
  return divisions.includes('*') ? ['*'] : [...new Set(divisions)].toSorted();
}
