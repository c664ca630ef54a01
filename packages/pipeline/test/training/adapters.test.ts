/** @file Several adapters in one run. */
import { adamw, sgd } from '@sdft/optim';
import { describe, expect, it } from 'vitest';
import { type Adapter, constant, pipeline } from '../../src/index.ts';
import {
  base,
  denoise,
  lowRank,
  pictures,
  reports,
  temporaryFolder,
  using,
} from '../support/small.ts';
import { join } from 'node:path';

const folder = temporaryFolder();
const at = 'unet.mid_block.**.attn2.to_v';
const described = pipeline().model(base).data(pictures).objective(denoise).seed(1);

describe('adapters at one layer', () => {
  const affine = (name: string, times: number, plus: number): Adapter => ({
    name,
    at,
    init: () => ({ scale: constant([1], times) }),
    wrap:
      (layer, { scale }) =>
      (x) =>
        layer(x).mul(scale!).add(plus),
  });
  it('apply in the order in which they were added', async () => {
    const doubled = affine('doubled', 2, 0);
    const raised = affine('raised', 1, 3);
    const lossOf = (...adapters: Adapter[]) =>
      using(
        adapters
          .reduce((builder, adapter) => builder.adapter(adapter), described)
          .optimizer(sgd({ lr: 1e-3 }))
          .build(),
        async (run) => (await reports(run, 1))[0]!.loss,
      );
    const first = await lossOf(doubled, raised);
    expect(await lossOf(raised, doubled)).not.toBeCloseTo(first, 6);
    expect(await lossOf(affine('both', 2, 3))).toBeCloseTo(first, 6);
  });
});

describe("a layer's parameters", () => {
  const withWeight = (name: string, times: number): Adapter => ({
    name,
    at,
    init: () => ({ scale: constant([1], times) }),
    wrap:
      (layer, { scale }) =>
      (x) =>
        layer.with({ weight: layer.parameter('weight').mul(scale!) })(x),
  });
  const lossOf = (...adapters: Adapter[]) =>
    using(
      adapters
        .reduce((builder, adapter) => builder.adapter(adapter), described)
        .optimizer(sgd({ lr: 1e-3 }))
        .build(),
      async (run) => (await reports(run, 1))[0]!.loss,
    );
  it('may be replaced, by several adapters after each other', async () => {
    const once = await lossOf(withWeight('both', 60));
    expect(await lossOf(withWeight('a', 20), withWeight('b', 3))).toBeCloseTo(once, 6);
    expect(await lossOf(withWeight('less', 20))).not.toBeCloseTo(once, 5);
  });
});

describe('adapters of one run', () => {
  it('may have a rate and a decay for each layer', async () => {
    const wide = lowRank({
      at: 'unet.mid_block.**.attn2.to_{k,v}',
      lr: ({ path }) => (path.endsWith('to_k') ? 1e-6 : undefined),
      weightDecay: () => 0,
    });
    const run = described.adapter(wide).optimizer(adamw({ lr: 1e-2, weightDecay: 0.5 }));
    await using(run.build(), async (built) => {
      await reports(built, 1);
      const [state] = await built.trainables();
      const moved = [...state!].map(([key, { up }]) => [
        key.split('.').at(-1),
        Math.max(...up!.data.map(Math.abs)),
      ]);
      expect(moved).toEqual([
        ['to_k', expect.closeTo(1e-6, 8)],
        ['to_v', expect.closeTo(1e-2, 4)],
      ]);
    });
  });

  it('have rates and decays of their own, and files of their own', async () => {
    const slow = lowRank({ name: 'slow', at, lr: 1e-6, weightDecay: 0 });
    const quick = lowRank({ name: 'quick', at });
    const both = described
      .adapter(slow)
      .adapter(quick)
      .optimizer(adamw({ lr: 1e-2, weightDecay: 0.5 }));
    await using(both.build(), async (run) => {
      const before = await run.trainables();
      const [report] = await reports(run, 1);
      const after = await run.trainables();
      const moved = (i: number) => {
        const [key] = [...after[i]!.keys()];
        return Math.max(
          ...after[i]!.get(key!)!['up']!.data.map((value, j) =>
            Math.abs(value - before[i]!.get(key!)!['up']!.data[j]!),
          ),
        );
      };
      expect(moved(0)).toBeCloseTo(1e-6, 8);
      expect(moved(1)).toBeCloseTo(1e-2, 4);
      expect(report!.lr).toBe(1e-6);

      const files = await run.save(join(folder, 'both.safetensors'));
      expect(files).toEqual([
        join(folder, 'both.slow.safetensors'),
        join(folder, 'both.quick.safetensors'),
      ]);
      await expect(run.save(join(folder, 'both.bin'))).rejects.toThrow(
        /is written as .safetensors, not .bin/,
      );
      await using(both.initFrom(join(folder, 'both.safetensors')).build(), async (other) => {
        const loaded = await other.trainables();
        expect([...loaded[1]!.values()].map(({ up }) => [...up!.data])).toEqual(
          [...after[1]!.values()].map(({ up }) => [...up!.data]),
        );
      });
    });
    const wider = { ...quick, init: lowRank().init, at: 'unet.mid_block.**.attn2.to_{k,v}' };
    await expect(
      described
        .adapter(wider)
        .optimizer(adamw({ lr: 1 }))
        .initFrom(join(folder, 'both.quick.safetensors'))
        .build(),
    ).rejects.toThrow(
      /both.quick.safetensors: holds no unet.mid_block.*to_k.down; the nearest is unet.mid_block/,
    );
  });
});
