/** The main job from end to end, embedded: a queue file and an archive folder. */
import { openEmbedded } from '../support/service/embedded.ts';
import { journey } from '../support/service/journey.ts';

journey('embedded', openEmbedded);
