/** A process that starts encoders one after the other, until it is killed; says when it begins to. Arguments: the encoder's path, its search path, and the layers of its cage. */
import { type Layer, LAYERS } from '../../../src/media/encoder/cage.ts';
import { startEncoder } from '../../../src/media/encoder/process.ts';
import { surroundingsOf } from '../../../src/media/encoder/tools.ts';

const [path = '', searchPath = '', layers = ''] = process.argv.slice(2);
const { tools } = await surroundingsOf(path, searchPath);
const encoder = { path, searchPath, confinement: { layers: layers.split(',').filter(isLayer), tools } };
const order = { args: [], limits: { memoryBytes: 1024 ** 3, cpuS: 60 }, inputs: 1 };
process.stdout.write('starting\n');
for (;;) {
  const children = await Promise.all([1, 2, 3].map(() => startEncoder(encoder, order)));
  await new Promise((resolve) => setTimeout(resolve, 60));
  for (const child of children) child.kill();
  await Promise.all(children.map(({ ended }) => ended));
}

function isLayer(name: string): name is Layer {
  return Object.hasOwn(LAYERS, name);
}
