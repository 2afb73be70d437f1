/** A process that looks for an encoder as the service does, and prints which descriptors one has. Argument: Perl's path. */
import { arch } from 'node:os';
import { text } from 'node:stream/consumers';
import { checkFfmpeg } from '../../../src/media/encoder/check.ts';
import { startEncoder } from '../../../src/media/encoder/process.ts';
import { standIn } from './fake.ts';

const [perl = ''] = process.argv.slice(2);
const encoder = await standIn(await checkFfmpeg(), perl);
const order = { args: ['-'], limits: { memoryBytes: 1024 ** 3, cpuS: 60 }, inputs: 1 };
const child = await startEncoder(encoder, order);
// fcntl(2), F_GETFD: Perl's own would close what it looked at.
const fcntl = arch() === 'arm64' ? 25 : 72;
child.inputs[0]?.end(`for my $fd (0 .. 255) { print "$fd\\n" if syscall(${String(fcntl)}, $fd, 1) >= 0 }`);
process.stdout.write(await text(child.output));
