/** @file A word first, then word and LoRA. */
import { join } from 'node:path';
import { openSafetensors } from '@sdft/models/node';
import { describe, expect, it } from 'vitest';
import {
  adamw,
  buildRun,
  images,
  openBase,
  openGenerator,
  pipeline,
  pivotal,
  reference,
  textualInversion,
} from '../../src/index.ts';
import { learnedKinds } from '../../src/registry.ts';
import { goldens, reports, temporaryFolder, using } from '../support/fixtures.ts';

const folder = temporaryFolder();
const replay = goldens('train/ti/replay.safetensors');
const stem = pipeline()
  .model(goldens('tiny-sd'))
  .optimizer(adamw({ lr: 1e-2, weightDecay: 0 }));
const word = { token: '<my-cup>', init: 'cup', vectors: 1 };
const both = (more: object) => stem.seed(1).method(pivotal({ ...word, rank: 2, ...more }));
const trained = async (run: { trainables(): Promise<readonly ReadonlyMap<string, object>[]> }) =>
  (await run.trainables()).map((state) => JSON.stringify([...state]));

describe('pivotal tuning', () => {
  it('begins as a Textual Inversion', async () => {
    const alone = stem
      .seed(1)
      .method(textualInversion(word))
      .optimizer(adamw({ lr: 5e-4, weightDecay: 0 }));
    const losses = (run: Parameters<typeof reports>[0]) =>
      reports(run, 3).then((steps) => steps.map(({ loss, lr }) => [loss, lr]));
    const vectors = async (run: {
      trainables(): Promise<
        readonly ReadonlyMap<string, Readonly<Record<string, { data: ArrayLike<number> }>>>[]
      >;
    }) => Array.from([...(await run.trainables())[0]!.values()][0]!['vectors']!.data);
    const options = { replay, backend: reference };
    const [expected, ends] = await using(alone.build(options), async (run) => [
      await losses(run),
      await vectors(run),
    ]);
    await using(both({ inversionSteps: 3 }).build(options), async (run) => {
      const ours = await losses(run);
      ours.forEach(([loss, lr], k) => {
        // A LoRA that changes nothing yet is added: sums of float32 in another order.
        expect(loss).toBeCloseTo(expected![k]![0]!, 6);
        expect(lr).toBe(5e-4);
      });
      (await vectors(run)).forEach((value, i) => expect(value).toBeCloseTo(ends![i]!, 6));
    });
  });

  it('goes on with both, or holds the word still', async () => {
    const moved = (more: object) =>
      using(both({ inversionSteps: 1, ...more }).build({ replay }), async (run) => {
        const states = [await trained(run)];
        for (const count of [1, 1, 1]) {
          await reports(run, count);
          states.push(await trained(run));
        }
        return states.slice(1).map((state, i) => state.map((one, j) => one !== states[i]![j]));
      });
    expect(await moved({})).toEqual([
      [true, false],
      [true, true],
      [true, true],
    ]);
    expect(await moved({ embeddingSteps: 2 })).toEqual([
      [true, false],
      [true, true],
      [false, true],
    ]);
    expect(await moved({ inversionSteps: 0, embeddingSteps: 1 })).toEqual([
      [true, true],
      [false, true],
      [false, true],
    ]);
  });

  it('saves a file of each, which draw what the run draws', async () => {
    await using(both({ inversionSteps: 2 }).build({ replay }), async (run) => {
      await reports(run);
      const paths = await run.save(join(folder, 'cup.safetensors'));
      expect(paths).toEqual([
        join(folder, 'cup.textual-inversion.safetensors'),
        join(folder, 'cup.lora.safetensors'),
      ]);
      expect([...openSafetensors(paths[0]!).tensors.keys()]).toEqual(['<my-cup>']);
      const prompt = 'a photo of <my-cup>';
      const settings = { steps: 3, seed: 2 };
      const [expected] = await run.generateWithLatents(prompt, settings);
      const base = await openBase(goldens('tiny-sd'));
      await using generator = await openGenerator(base, [
        await learnedKinds['embedding']!.open(paths[0]!, base),
        await learnedKinds['lora']!.open(paths[1]!, base),
      ]);
      const [drawn] = await generator.generate(prompt, settings);
      drawn!.latents.data.forEach((value, i) =>
        expect(Math.abs(value - expected!.latents.data[i]!)).toBeLessThanOrEqual(1e-4),
      );
    });
  });

  it('that leaves no step to the LoRA is refused', async () => {
    const recipe = {
      base: 'nano',
      method: 'pivotal',
      token: '<x>',
      inversionSteps: 600,
      steps: 600,
    };
    const data = images(goldens('train/images'), { resolution: 64 });
    await expect(buildRun({ ...recipe, data: data as never })).rejects.toThrow(
      /inversionSteps 600 leave no step of 600 to the LoRA/,
    );
  });
});
