/**
 * The bucket archive keeps the archive's contract, where deleting under recordings/ and days/ is denied (ST-10).
 * Listings are read without any wait after writing: Cloud Storage lists with strong consistency, and so does the server (ST-12).
 */
import { openBucketHarness } from '../../support/archive/bucket.ts';
import { archiveSuite } from '../suite.ts';

archiveSuite('the bucket archive', openBucketHarness);

/** In which order Cloud Storage looks at the two nothing says: https://cloud.google.com/storage/docs/request-preconditions */
archiveSuite('the bucket archive, refused for want of a right before it is for the condition', () =>
  openBucketHarness({ rightsFirst: true }),
);

/** Each object is looked at in the instant it appears, whether it is locked as it has to be. */
archiveSuite('the bucket archive that locks recordings', () =>
  openBucketHarness({ lock: { days: 3_000, mode: 'locked' } }),
);
