/** The queue on Pub/Sub, judged by Google's own emulator. */
import { suite } from 'node:test';
import { emulatorMissing, startEmulator } from '../../support/pubsub/emulator.ts';
import { judgedBy } from './pubsub-suite.ts';

suite('Pub/Sub', { skip: emulatorMissing() }, judgedBy(startEmulator));
