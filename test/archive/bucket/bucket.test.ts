/**
 * The bucket archive keeps the archive's contract, where deleting under recordings/ and days/ is denied (ST-10).
 * Listings are read without any wait after writing: Cloud Storage lists with strong consistency, and so does the server (ST-12).
 */
import { openBucketHarness } from '../../support/archive/bucket.ts';
import { archiveSuite } from '../suite.ts';

archiveSuite('the bucket archive', openBucketHarness);
