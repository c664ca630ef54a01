/**
 * Trains a small model whole, saves it in every layout, and draws pictures with the run, for check_written.py:
 *
 *     node --conditions=@sdft/source tools/full/write_samples.ts FOLDER
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  adamw,
  fullFineTune,
  hostArray,
  type HostArray,
  pipeline,
} from '../../packages/methods/src/index.ts';
import { fromFloat32, readFloat32, weightOf } from '../../packages/models/src/index.ts';
import { openSafetensors, writeSafetensors } from '../../packages/models/src/node/index.ts';

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('usage: write_samples.ts FOLDER');
mkdirSync(folder, { recursive: true });
const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url));

await using run = await pipeline()
  .model(join(fixtures, 'goldens/tiny-sd'))
  .method(fullFineTune({ trainTextEncoder: true }))
  .optimizer(adamw({ lr: 1e-3 }))
  .build({ replay: join(fixtures, 'goldens/train/db_prior/replay.safetensors') });
for await (const { step, loss } of run.steps(3)) console.log(step, loss);
for (const name of ['folder', 'one.safetensors', 'two.ckpt'])
  await run.save(join(folder, name), { force: true });

const start = openSafetensors(join(fixtures, 'embeddings/start.safetensors')).tensors.get(
  'latents',
)!;
const made = await run.generateWithLatents('a drawing of a dog', {
  negative: 'blurry',
  latents: hostArray(Float32Array.from(readFloat32(start)), start.shape) as HostArray,
  steps: 10,
  cfg: 7.5,
});
const finals = Float32Array.from(made.flatMap(({ latents }) => [...latents.data]));
await writeSafetensors(
  join(folder, 'latents.safetensors'),
  new Map([['latents', weightOf('f32', start.shape, fromFloat32(finals, 'f32'))]]),
  { force: true },
);
