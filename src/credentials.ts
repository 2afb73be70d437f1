/** What Google's libraries throw where they find no credentials → what to set or look at. */

/** Without the library's own words: they may hold a path, or a part of a key. */
export function adviceOnCredentials(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : '';
  if (/GOOGLE_APPLICATION_CREDENTIALS environment variable/.test(text))
    return 'the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be used: check that it is there, that this user may read it, and that it is the JSON that Google made';
  if (/invalid_grant|invalid_client|unauthorized_client/.test(text))
    return 'Google refuses these credentials: check that their account and key are still there, and the clock of this machine';
  return 'there are no Google credentials: run on Google Cloud with a service account, or set GOOGLE_APPLICATION_CREDENTIALS';
}

/** Whether it is for want of credentials, by the texts of google-auth-library. */
export function lacksCredentials(thrown: unknown): boolean {
  const text = thrown instanceof Error ? thrown.message : '';
  return /default credentials|GOOGLE_APPLICATION_CREDENTIALS environment variable|invalid_grant/i.test(text);
}
