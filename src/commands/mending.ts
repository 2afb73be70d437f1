/** A finding of `verify` → what mends it: the last words of its line, a command wherever one does. */
import { DAYS, MANIFEST_FILE } from '../archive/names.ts';
import type { ArchiveConfig } from '../config/config.ts';
import { pathOf, recordingOfKey } from '../recording.ts';
import type { ArchiveFinding } from '../survey/survey.ts';
import { shellQuote, shellWord } from './report.ts';

export function mendingOf(finding: ArchiveFinding, place: ArchiveConfig): string {
  const { state, day, key, file = '' } = finding;
  const recording = recordingOfKey(key);
  const path = recording === undefined ? key : pathOf(recording);
  switch (state) {
    case 'damaged':
    case 'unreadable':
      if (file.startsWith('proofs/')) return `Restore it:  ${earlierCopies(file.replace(/\/[^/]*$/, ''), place)}`;
      return `Restore it:  ${earlierCopies(`recordings/${path}`, place)}`;
    case 'incomplete':
      if (file.startsWith(DAYS)) return `Make its entry anew:  ${emptyObject(file, place)}`;
      if (file === MANIFEST_FILE) return `It is made anew whenever the recording is looked for:  ${fetching(day)}`;
      return `Restore it:  ${earlierCopies(`recordings/${path}`, place)}`;
    case 'unproven':
    case 'gone':
      return `Move away what is left of it, and fetch it again:  ${fetching(day)}`;
    case 'stray':
      if (!file.startsWith(DAYS))
        return `Look at it and move it away:  ${looking(`recordings/${path === '' ? '' : `${path}/`}${file}`, place)}`;
      if (recording === undefined) return `Look at it and move it away:  ${looking(file, place)}`;
      return `Fetch it, if Genesys has it:  ${fetching(day)}`;
    case 'undead':
      return `End its erasure:  archiver erase --recording ${path} --reason "ends an erasure"`;
    case 'unheld':
      return `Its flag is set anew, by an account that may update objects, by:  archiver reconcile`;
  }
}

function fetching(day: string | undefined): string {
  return day === undefined ? 'archiver reconcile' : `archiver backfill --from ${day} --to ${day} --again`;
}

/** Where a bucket keeps what was replaced or deleted; a folder has its backups. */
function earlierCopies(name: string, place: ArchiveConfig): string {
  if (place.kind === 'folder') return `cp -a ${shellWord(`BACKUP/${name}/.`)} ${shellWord(`${place.path}/${name}/`)}`;
  return `gcloud storage ls --soft-deleted ${shellQuote(`${bucketUrlOf(name, place)}/**`)}`;
}

function looking(name: string, place: ArchiveConfig): string {
  return place.kind === 'folder'
    ? `ls -l ${shellWord(`${place.path}/${name}`)}`
    : `gcloud storage ls -L ${shellQuote(bucketUrlOf(name, place))}`;
}

function emptyObject(name: string, place: ArchiveConfig): string {
  if (place.kind === 'folder') return `install -D /dev/null ${shellWord(`${place.path}/${name}`)}`;
  return `gcloud storage cp - ${shellQuote(bucketUrlOf(name, place))} < /dev/null`;
}

function bucketUrlOf(name: string, { bucket, prefix }: Extract<ArchiveConfig, { kind: 'bucket' }>): string {
  return `gs://${bucket}/${prefix === '' ? '' : `${prefix}/`}${name}`;
}
