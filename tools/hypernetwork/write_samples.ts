/**
 * Trains hypernetworks on a small model, writes each as A1111's .pt, and draws pictures with the runs, for check_written.py:
 *
 *     node --conditions=@sdft/source tools/hypernetwork/write_samples.ts FOLDER
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  adamw,
  hostArray,
  type HostArray,
  hypernetwork,
  type HypernetworkOptions,
  pipeline,
} from '../../packages/methods/src/index.ts';
import { fromFloat32, readFloat32, weightOf } from '../../packages/models/src/index.ts';
import { openSafetensors, writeSafetensors } from '../../packages/models/src/node/index.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: write_samples.ts FOLDER');
mkdirSync(folder, { recursive: true });
const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url));
const { tensors } = openSafetensors(join(fixtures, 'hypernetwork/pictures.safetensors'));
const start = tensors.get('latents')!;

const samples: Readonly<Record<string, HypernetworkOptions>> = {
  plain: {},
  deep: { layerStructure: '1, 2, 1.5, 1', activation: 'mish', layerNorm: true },
  'to the end': { activation: 'tanh', activateOutput: true, weightInit: 'XavierNormal' },
};
for (const [name, options] of Object.entries(samples)) {
  await using run = await pipeline()
    .model(join(fixtures, 'goldens/tiny-sd'))
    .method(hypernetwork(options))
    .optimizer(adamw({ lr: 1e-2 }))
    .build({ replay: join(fixtures, 'goldens/train/hn_linear/replay.safetensors') });
  for await (const { step, loss } of run.steps(3)) console.log(name, step, loss);
  await run.save(join(folder, `${name}.pt`), { force: true });
  const [made] = await run.generateWithLatents('a photo of a cup on a table', {
    negative: 'blurry',
    latents: hostArray(Float32Array.from(readFloat32(start)), start.shape) as HostArray,
    steps: 6,
    cfg: 7.5,
  });
  await writeSafetensors(
    join(folder, `${name}.safetensors`),
    new Map([
      [
        'latents',
        weightOf('f32', start.shape, fromFloat32(Float32Array.from(made!.latents.data), 'f32')),
      ],
    ]),
    { force: true },
  );
}
