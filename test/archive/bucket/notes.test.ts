import { openBucketHarness } from '../../support/archive/bucket.ts';
import { notesSuite } from '../notes-suite.ts';

notesSuite('the bucket archive', openBucketHarness);
