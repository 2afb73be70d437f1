/** The bucket archive: the contract, and what only a bucket can meet. */
import { openBucketHarness } from '../support/archive-bucket.ts';
import { archiveSuite } from './suite.ts';

archiveSuite('the bucket archive', openBucketHarness);
