/**
 * Writes one file of every kind that the models package writes, for check_written.py:
 *
 *     node --conditions=@sdft/source tools/checkpoint/write_samples.ts FOLDER
 */
import { join } from 'node:path';
import { architecture } from '../../packages/models/src/checkpoint/architectures.ts';
import { weightOf } from '../../packages/models/src/checkpoint/byteSource.ts';
import {
  Float,
  OrderedDict,
  type PythonValue,
  Tuple,
} from '../../packages/models/src/checkpoint/pythonValue.ts';
import { openCheckpoint } from '../../packages/models/src/node/openCheckpoint.ts';
import { openTorch } from '../../packages/models/src/node/torchFile.ts';
import { writeTorch } from '../../packages/models/src/node/torchWriter.ts';
import {
  initCheckpoint,
  writeDiffusersFolder,
  writeLdmFile,
} from '../../packages/models/src/node/writeCheckpoint.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: write_samples.ts FOLDER');
const force = { force: true } as const;
const fixtures = new URL('../../fixtures/', import.meta.url).pathname;

const sd2 = architecture('sd21');
const tinySd2 = {
  ...sd2,
  unet: {
    ...sd2.unet,
    blockOutChannels: [32, 64, 64, 64],
    numAttentionHeads: [2, 4, 4, 4],
    crossAttentionDim: 64,
    sampleSize: 16,
  },
  textEncoder: {
    ...sd2.textEncoder,
    hiddenSize: 64,
    intermediateSize: 256,
    numHiddenLayers: 2,
    numAttentionHeads: 2,
    projectionDim: 64,
  },
  vae: { ...sd2.vae, blockOutChannels: [32, 32, 32, 32], sampleSize: 128 },
};
await initCheckpoint('tiny', 1, join(folder, 'sd1'), force);
await initCheckpoint(tinySd2, 2, join(folder, 'sd2'), force);
for (const name of ['sd1', 'sd2']) {
  const model = await openCheckpoint(join(folder, name));
  await writeLdmFile(join(folder, `${name}.safetensors`), model, force);
  for (const dtype of ['f16', 'bf16'] as const) {
    await writeDiffusersFolder(join(folder, `${name}-${dtype}`), model, { ...force, dtype });
    await writeLdmFile(join(folder, `${name}-${dtype}.safetensors`), model, {
      ...force,
      dtype,
    });
  }
}

const tensor = weightOf('f32', [2, 3], new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer));
const state = new OrderedDict([
  ['linear.0.weight', tensor],
  ['again', tensor],
]);
state.state = new Map<PythonValue, PythonValue>([
  ['_metadata', new OrderedDict([['', new Map([['version', 1]])]])],
]);
const everything = new Map<PythonValue, PythonValue>([
  [768, Tuple.of(state, new OrderedDict())],
  ['layer_structure', [new Float(1), new Float(2), new Float(1)]],
  [
    'ints',
    [
      0,
      255,
      256,
      65535,
      65536,
      -1,
      -(2 ** 31),
      2 ** 31,
      Number.MAX_SAFE_INTEGER,
      2n ** 70n,
      -(2n ** 70n),
      -128,
      128n,
      -129n,
    ],
  ],
  ['texts', ['', 'h\u00e9 \u{1f600}']],
  ['tuples', [Tuple.of(), Tuple.of(1), Tuple.of(1, 2, 3, 4)]],
  ['flags', [true, false, null, 0.5]],
  ['scalar', weightOf('i64', [], new Uint8Array(BigInt64Array.of(265n).buffer))],
  ['half', weightOf('f16', [2], Uint8Array.of(0, 0x3c, 0, 0xc0))],
  ['brain', weightOf('bf16', [1], Uint8Array.of(0x80, 0x3f))],
  ['empty', weightOf('f32', [0, 4], new Uint8Array(0))],
]);
await writeTorch(join(folder, 'everything.pt'), everything, force);
for (const name of [
  'hn_linear/result.pt',
  'hn_tanh_ln/result.pt',
  'ti_a1111/result.pt',
  'kohya_lora/result.pt',
]) {
  const { value } = await openTorch(join(fixtures, 'goldens/train', name));
  await writeTorch(join(folder, name.replace('/', '-')), value, force);
}
