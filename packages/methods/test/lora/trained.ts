/** @file The cases of the oracles, trained on a backend. */
import { join } from 'node:path';
import { readFloat32 } from '@sdft/models';
import { expect } from 'vitest';
import { adamw, type Backend, lora, pipeline } from '../../src/index.ts';
import { readNetwork } from '../../src/lora/files/readNetwork.ts';
import { goldens, reports, temporaryFolder, using } from '../support/fixtures.ts';
import { errorOfUpdate, type Tensors } from './files.ts';
import { at, type Case } from './oracles.ts';

/** The tensors of a file of any layout, by layer and our names. */
async function learnedIn(path: string): Promise<Tensors> {
  const { layers } = await readNetwork(path);
  return new Map(
    [...layers].flatMap(([layer, { tensors }]) =>
      Object.entries(tensors).map(([name, weight]) => [
        `${layer}.${name}`,
        Float32Array.from(readFloat32(weight)),
      ]),
    ),
  );
}

const folder = temporaryFolder();

/** Every loss, every norm, and the file that is written, held against the other program's. */
export async function expectTraining(name: string, one: Case, backend: Backend): Promise<void> {
  const flavour = one.tool === 'peft' ? 'diffusers' : 'kohya';
  const path = join(folder, `${name}.safetensors`);
  const initial = at(`${name}.initial.safetensors`);
  const run = pipeline()
    .model(goldens('tiny-sd'))
    .method(lora({ ...one.options, flavour, targets: [...one.targets] }))
    .optimizer(adamw({ lr: 1e-2, weightDecay: one.weightDecay }))
    .initFrom(initial)
    .seed(1)
    .build({
      replay: at(one.dropped ? `${name}.replay.safetensors` : 'replay.safetensors'),
      backend,
    });
  await using(run, async (built) => {
    const steps = await reports(built);
    expect(steps.length).toBe(one.losses.length);
    steps.forEach(({ loss, gradNorm }, k) => {
      expect(Math.abs(loss - one.losses[k]!), `loss ${k}`).toBeLessThanOrEqual(
        // The other program's rounding can be small by chance; a unit of float32 at 1.3 is 1.2e-7.
        Math.max(4 * one.noise.loss, 6e-7),
      );
      expect(Math.abs(gradNorm / one.gradNorms[k]! - 1), `norm ${k}`).toBeLessThanOrEqual(2e-5);
    });
    await built.save(path);
  });
  const [ours, theirs, from] = await Promise.all(
    [path, at(`${name}.result.safetensors`), initial].map(learnedIn),
  );
  expect([...ours!.keys()].sort()).toEqual([...theirs!.keys()].sort());
  expect(errorOfUpdate(ours!, theirs!, from!)).toBeLessThanOrEqual(
    Math.max(10 * one.noise.update, 3e-5),
  );
}
