/** A broker as a process of its own, so that it can be stopped and killed: `node main.ts PORT`; told `break` by its parent, it ends all streams. */
import { Broker } from './broker.ts';
import { serveRpc } from './rpc.ts';

const [port = ''] = process.argv.slice(2);
const broker = new Broker();
await serveRpc(Number(port), (call, request) => broker.hear(call, request));
process.on('message', () => broker.breakStreams());
// Whoever started it may be gone without a word.
process.on('disconnect', () => process.exit());
process.send?.('listening');
