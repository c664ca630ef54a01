/** @file Running averages of what is trained; what they are is held against diffusers in packages/methods/test/full. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readFloat32 } from '@sdft/models';
import { openSafetensors } from '@sdft/models/node';
import { reference } from '@sdft/tensor';
import { parseRecipe, type Run } from '../../src/index.ts';
import { pictures, reports, stem, temporaryFolder, trained, using } from '../support/small.ts';

const folder = temporaryFolder();
const averaged = stem.data(pictures).accumulate(2).ema({ decay: 0.5 });
const stateOf = (run: string, step: number) =>
  readFileSync(join(folder, run, 'state', String(step), 'state.safetensors'));

/** Every number of the first adapter, averages declined. */
async function itself(run: Run): Promise<number[]> {
  const [state] = await run.trainables({ ema: false });
  return [...state!.values()].flatMap((parameters) =>
    Object.values(parameters).flatMap(({ data }) => [...data]),
  );
}

describe('running averages', () => {
  it('begin with the first values, are the result of the first step, then lag behind', async () => {
    await using(averaged.build({ backend: reference }), async (run) => {
      expect(await trained(run)).toEqual(await itself(run));
      await reports(run, 1);
      const first = await itself(run);
      expect(await trained(run)).toEqual(first);
      await reports(run, 1);
      const second = await itself(run);
      // The decay after two steps: (1 + 1) / (10 + 1).
      (await trained(run)).forEach((value, i) =>
        expect(value).toBeCloseTo(first[i]! * (2 / 11) + second[i]! * (9 / 11), 6),
      );
    });
  });

  it('leave the training itself as it is', async () => {
    const plain = await using(stem.data(pictures).accumulate(2).build(), async (run) => {
      await reports(run, 3);
      return trained(run);
    });
    await using(averaged.build(), async (run) => {
      await reports(run, 3);
      expect(await itself(run)).toEqual(plain);
      expect(await trained(run)).not.toEqual(plain);
    });
  });

  it('are what is saved and what pictures are drawn with', async () => {
    await using(averaged.build(), async (run) => {
      await reports(run, 3);
      const [path] = await run.save(join(folder, 'averaged.safetensors'));
      const saved = [...openSafetensors(path!).tensors.values()].flatMap((weight) => [
        ...readFloat32(weight),
      ]);
      const numbers = (values: readonly number[]) => [...values].sort((a, b) => a - b);
      expect(numbers(saved)).toEqual(numbers(await trained(run)));
      expect(numbers(saved)).not.toEqual(numbers(await itself(run)));
      const draw = { seed: 1, steps: 1, size: '64x64' } as const;
      const [own] = await run.generateWithLatents('a cup', draw);
      await using(stem.data(pictures).initFrom(path!).build(), async (other) => {
        const [same] = await other.generateWithLatents('a cup', draw);
        expect(same!.latents.data).toEqual(own!.latents.data);
      });
    });
  });

  it('go on bit for bit where a run is resumed', async () => {
    await using(averaged.build({ logDir: join(folder, 'straight') }), async (run) => {
      await reports(run, 6);
      await run.saveState();
    });
    const logDir = join(folder, 'halves');
    await using(averaged.build({ logDir }), async (run) => {
      await reports(run, 3);
      await run.saveState();
    });
    await using(averaged.build({ logDir, resume: true }), async (run) => {
      expect(await run.resume()).toBe(3);
      await reports(run, 3);
      await run.saveState();
    });
    expect(stateOf('halves', 6).equals(stateOf('straight', 6))).toBe(true);
  });

  it('are asked for in a recipe by true, a decay, or settings', () => {
    const registry = { presets: {}, objectives: {} };
    const recipe = { base: 'nano' };
    for (const ema of [true, false, 0.99, { decay: 0.99, useEmaWarmup: true, power: 0.75 }])
      expect(parseRecipe({ ...recipe, ema }, registry).ema).toEqual(ema);
    expect(() => parseRecipe({ ...recipe, ema: 1.5 }, registry)).toThrow(/ema must be/);
    expect(() => parseRecipe({ ...recipe, ema: { decy: 0.9 } }, registry)).toThrow(/decy/);
  });

  it('have a decay of at least the smallest', async () => {
    await expect(averaged.ema({ decay: 0.5, minDecay: 0.9 }).build()).rejects.toThrow(
      /minDecay 0.9 is larger than decay 0.5/,
    );
  });
});
