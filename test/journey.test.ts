/** The main job from end to end, embedded: a queue file and an archive folder. */
import { openEmbedded } from './support/embedded.ts';
import { journey } from './support/journey.ts';

journey('embedded', openEmbedded);
