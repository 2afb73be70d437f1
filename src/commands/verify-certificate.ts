/** `archiver verify --certificate FILE`: whether a certificate holds, by itself alone: no archive, no network. */
import { readFile } from 'node:fs/promises';
import type { KeyObject } from 'node:crypto';
import { checkCertificate } from '../certificate/check.ts';
import { Failure, systemCode } from '../failure.ts';
import { columnsOf, EXIT, type Exit } from './report.ts';
import type { Task } from './task.ts';

export async function verifyCertificate(
  file: string,
  key: KeyObject | undefined,
  { report }: Pick<Task, 'report'>,
): Promise<Exit> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    const why = systemCode(error) ?? 'unknown error';
    throw new Failure('bad-request', `${file} cannot be read (${why}): name the JSON that archiver certificate wrote.`);
  });
  const { stated, faults, fingerprint = '' } = checkCertificate(text, key);
  report.fact({ type: 'certificate', stated: Object.fromEntries(stated), key: fingerprint });
  report.text(columnsOf(stated).join('\n'));
  for (const reason of faults)
    report.line(`\nIt does not hold: ${reason}. Have it made anew:  archiver certificate --help`, {
      type: 'finding',
      state: 'damaged',
      reason,
    });
  const exit = faults.length === 0 ? EXIT.well : EXIT.findings;
  if (faults.length === 0) report.text(`\nIt holds, signed with key ${fingerprint}${key === undefined ? WHOSE : '.'}`);
  report.summary({ findings: faults.length, key: fingerprint, isKeyExpected: key !== undefined }, exit);
  return exit;
}

/** Anybody can sign with a key of his own. */
const WHOSE = '. Whose key that is, nothing in it says: compare it with the one you were given, or give it with --key.';
