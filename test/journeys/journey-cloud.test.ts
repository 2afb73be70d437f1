/** The main job from end to end, on the Pub/Sub emulator and a Cloud Storage server: the very tests of the embedded mode. */
import { suite } from 'node:test';
import { openCloud } from '../support/service/cloud.ts';
import { journey } from '../support/service/journey.ts';
import { emulatorMissing } from '../support/pubsub/emulator.ts';

suite('Pub/Sub and Cloud Storage', { skip: emulatorMissing() }, () => journey('cloud', openCloud));
