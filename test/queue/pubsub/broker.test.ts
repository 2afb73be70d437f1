/** The queue on Pub/Sub, judged by a broker that behaves as the real one (test/support/pubsub/broker). */
import { suite } from 'node:test';
import { startBroker } from '../../support/pubsub/broker/start-broker.ts';
import { judgedBy } from './pubsub-suite.ts';

suite('Pub/Sub, by a broker that behaves as the real one', judgedBy(startBroker));
