/** A URL that lives for minutes → a media file that outlives it. */
import type { Downloader } from '../download/download.ts';
import type { MediaFile } from '../media-file.ts';

interface MediaUrl {
  /** Good for the first download. */
  readonly found: URL;
  /** Asks Genesys for another one, once that has expired or was refused. */
  readonly refresh: (signal: AbortSignal) => Promise<URL>;
}

/** The URL is pre-signed: it is sent without a token. */
export function fileByUrl(channel: string, { found, refresh }: MediaUrl, downloader: Downloader): MediaFile {
  return {
    channel,
    open: (signal) => {
      let fresh: URL | undefined = found;
      return downloader.open(async (signal) => {
        const url = fresh ?? (await refresh(signal));
        fresh = undefined;
        return { url, headers: {} };
      }, signal);
    },
  };
}
