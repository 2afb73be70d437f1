import { openBucketHarness } from '../../support/archive/bucket.ts';
import { indexSuite } from '../index-suite.ts';

indexSuite('the bucket archive', openBucketHarness);
