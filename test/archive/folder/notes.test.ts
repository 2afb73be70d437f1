import { openFolderHarness } from '../../support/archive/folder.ts';
import { notesSuite } from '../notes-suite.ts';

notesSuite('the folder archive', openFolderHarness);
