/** @file Several adapters in one run. */
import type { Layer as LayerInfo } from '@sdft/models';
import { adamw, sgd } from '@sdft/optim';
import { type Tensor, UserError } from '@sdft/tensor';
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

  it('act on the input before all others, in their order, where they say so', async () => {
    const onInput = (name: string, change: (x: Tensor) => Tensor): Adapter => ({
      ...affine(name, 1, 0),
      side: 'input',
      wrap: (layer) => (x) => layer(change(x)),
    });
    const double = (x: Tensor) => x.mul(2);
    const lossOf = (...adapters: Adapter[]) =>
      using(
        [...adapters, affine('output', 3, 0)]
          .reduce((builder, adapter) => builder.adapter(adapter), described)
          .optimizer(sgd({ lr: 1e-3 }))
          .build(),
        async (run) => (await reports(run, 1))[0]!.loss,
      );
    const [doubled, curved] = [onInput('double', double), onInput('tanh', (x) => x.tanh())];
    const inOrder = await lossOf(onInput('both', (x) => double(x).tanh()));
    expect(await lossOf(doubled, curved)).toBe(inOrder);
    expect(await lossOf(curved, doubled)).not.toBeCloseTo(inOrder, 6);
  });
});

describe('an adapter', () => {
  const inMiddle = (layers: readonly LayerInfo[]) =>
    layers.filter(({ path }) => /mid_block.*attn\d\.to_v$/.test(path));

  it('picks its layers, and is told of all, in the order of the model', async () => {
    const told: (readonly LayerInfo[])[] = [];
    const picking: Adapter = {
      ...lowRank(),
      at: inMiddle,
      wrap: (layer, parameters, use) => {
        told.push(use.layers);
        return lowRank().wrap(layer, parameters, use);
      },
    };
    await using(
      described
        .adapter(picking)
        .optimizer(sgd({ lr: 1 }))
        .build(),
      async (run) => {
        const [state] = await run.trainables();
        const block = 'unet.mid_block.attentions.0.transformer_blocks.0';
        expect([...state!.keys()]).toEqual([`${block}.attn1.to_v`, `${block}.attn2.to_v`]);
        const order = told[0]!.map(({ path }) => path);
        expect(order.indexOf('unet.conv_in')).toBeLessThan(order.indexOf(`${block}.attn1.to_v`));
        expect(order.indexOf(`${block}.attn2.to_v`)).toBeLessThan(order.indexOf('unet.conv_out'));
        expect(inMiddle(told[0]!).map(({ path }) => path)).toEqual([...state!.keys()]);
      },
    );
    const none = () => {
      throw new UserError('no layer fits');
    };
    await expect(
      described
        .adapter({ ...picking, at: none })
        .optimizer(sgd({ lr: 1 }))
        .build(),
    ).rejects.toThrow(/no layer fits/);
  });

  it('adds to the loss, with blocks computed again or not', async () => {
    const penalized = (weight: number): Adapter => ({
      ...lowRank(),
      at: inMiddle,
      wrap: (layer, parameters, use) => (x) => {
        const whole = lowRank().wrap(layer, parameters, use)(x);
        if (weight > 0) use.penalize(whole.square().mean().mul(weight));
        return whole;
      },
    });
    const trained = (weight: number, recompute: boolean) =>
      using(
        described
          .adapter(penalized(weight))
          .optimizer(sgd({ lr: 0.5 }))
          .with({ recompute })
          .build(),
        async (run) => {
          const told = await reports(run, 3);
          const [state] = await run.trainables();
          const { activations } = run.plan.memory;
          return { told, activations, up: [...state!.values()].flatMap(({ up }) => [...up!.data]) };
        },
      );
    const [plain, kept, again] = [
      await trained(0, false),
      await trained(5, false),
      await trained(5, true),
    ];
    expect(kept.told[0]!.loss).toBeGreaterThan(plain.told[0]!.loss + 0.01);
    const size = (values: number[]) => Math.hypot(...values);
    expect(size(kept.up.map((value, i) => value - plain.up[i]!))).toBeGreaterThan(
      size(plain.up) / 10,
    );
    again.told.forEach(({ loss, gradNorm }, i) => {
      expect(loss).toBeCloseTo(kept.told[i]!.loss, 5);
      expect(gradNorm / kept.told[i]!.gradNorm).toBeCloseTo(1, 4);
    });
    expect(size(again.up.map((value, i) => value - kept.up[i]!))).toBeLessThan(
      1e-4 * size(kept.up),
    );
    // What leaves a block is one number, not what it was made of.
    expect(again.activations).toBeLessThan(0.9 * kept.activations);
    const vector: Adapter = {
      ...lowRank(),
      wrap: (layer, _, use) => (x) => {
        use.penalize(x);
        return layer(x);
      },
    };
    await expect(
      described
        .adapter(vector)
        .optimizer(sgd({ lr: 1 }))
        .build(),
    ).rejects.toThrow(/adapter low-rank: penalize takes one f32 number, got f32 \[/);
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
