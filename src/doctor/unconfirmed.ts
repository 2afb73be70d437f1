/**
 * What this program does after Genesys' published models and has never seen a real organization confirm: said once, here, by
 * `archiver doctor`, and nowhere else. A line goes once somebody has seen it.
 */
export const UNCONFIRMED = [
  'authorization/subjects/me answers a client of Client Credentials with its grants (where it does not, rights are tried one by one)',
  'names and values of limits/namespaces/platform.api',
  'topics that triggers offer, and that the topics of README are among them',
  'analytics takes "true" for recording, screenRecording and snippetRecording (where it does not, sessions tell)',
  'how long the results of an analytics job live, and how many jobs may run at once',
  'restoring by an archiveDate in the future, deleting by a deleteDate; each is read back',
  'the format of upload reports, and how far back audits of recordings reach',
] as const;
