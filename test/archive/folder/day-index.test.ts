import { openFolderHarness } from '../../support/archive/folder.ts';
import { indexSuite } from '../index-suite.ts';

indexSuite('the folder archive', openFolderHarness);
