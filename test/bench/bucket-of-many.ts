/** A process of its own: so many recordings and failures, as a bucket on a port of the loopback, until its input ends. */
import { failureOf } from '../support/archive/content.ts';
import { GeneratedRecordings } from '../support/gcs/generated.ts';
import { startGcsServer } from '../support/gcs/server.ts';

const [, , prefix = '', recordings = '', failures = ''] = process.argv;
const server = await startGcsServer({ audits: [] });
const count = Number(recordings);
const generated = new GeneratedRecordings({ prefix: `${prefix}/`, count, perDay: 10_000 });
server.generated = generated;
for (let index = 0; index < Number(failures); index += 1) {
  const subject = { conversationId: `failed-${String(index)}`, recordingId: `f${String(index)}` };
  const name = `${prefix}/failures/${subject.conversationId}.${subject.recordingId}.json`;
  server.put(name, Buffer.from(JSON.stringify(failureOf(subject))));
}
const { conversationId } = generated.recordingAt(Math.floor(count / 2));
process.stdout.write(`${JSON.stringify({ url: server.url, bucket: server.bucket, conversationId })}\n`);
process.stdin.on('end', () => void server.close()).resume();
