/** @file Adapters that are trained in a part of a run. */
import { join } from 'node:path';
import { adamw, sgd } from '@sdft/optim';
import { describe, expect, it } from 'vitest';
import { type Adapter, type AdapterState, pipeline, type Run } from '../../src/index.ts';
import { RunFolder } from '../../src/node/runFolder.ts';
import {
  base,
  denoise,
  lowRank,
  pictures,
  reports,
  temporaryFolder,
  using,
} from '../support/small.ts';

const folder = temporaryFolder();
const value = 'unet.mid_block.**.attn2.to_v';
const other = 'unet.down_blocks.0.**.attn2.to_v';
const early = lowRank({ name: 'early', at: value, steps: { to: 3 } });
const late = lowRank({ name: 'late', at: other, steps: { from: 3 } });
const described = pipeline().model(base).data(pictures).objective(denoise).seed(1).steps(6);
const both = described.adapter(early).adapter(late);

const numbers = (state: AdapterState): number[] =>
  [...state.values()].flatMap((parameters) =>
    Object.values(parameters).flatMap(({ data }) => [...data]),
  );
const valuesOf = async (run: Run) => (await run.trainables()).map(numbers);

describe('outside of its steps an adapter', () => {
  it('stands still to the bit, its optimizer too, whatever the weight decay', async () => {
    const run = both.optimizer(adamw({ lr: 1e-2, weightDecay: 1 })).accumulate(2);
    await using(run.build({ logDir: join(folder, 'still') }), async (built) => {
      const states = async () => {
        const saved = { step: 0, path: await built.saveState() };
        const values = new RunFolder(built.folder!).readState(saved);
        return new Map([...values].map(([name, value]) => [name, value()]));
      };
      const before = [await valuesOf(built), await states()] as const;
      await reports(built, 3);
      const between = [await valuesOf(built), await states()] as const;
      await reports(built, 3);
      const after = [await valuesOf(built), await states()] as const;

      expect(between[0][1]).toEqual(before[0][1]);
      expect(between[0][0]).not.toEqual(before[0][0]);
      expect(after[0][0]).toEqual(between[0][0]);
      expect(after[0][1]).not.toEqual(between[0][1]);
      const moved = (from: typeof before, to: typeof before) =>
        [...to[1]].flatMap(([name, { data }]) =>
          data.every((number, i) => number === from[1].get(name)!.data[i]) ? [] : [name],
        );
      for (const name of moved(before, between)) expect(name).toContain('early/');
      for (const name of moved(between, after)) expect(name).toContain('late/');
      expect(moved(between, after).some((name) => name.startsWith('optimizer'))).toBe(true);
    });
  });

  it('counts in no norm', async () => {
    const norms = (...adapters: readonly Adapter[]) =>
      using(
        adapters
          .reduce((builder, adapter) => builder.adapter(adapter), described)
          .optimizer(sgd({ lr: 1e-9 }))
          .build(),
        async (run) => (await reports(run, 4)).map(({ gradNorm }) => gradNorm),
      );
    const [whole, first] = await Promise.all([
      norms({ ...early, steps: {} }, { ...late, steps: {} }),
      norms({ ...early, steps: {} }),
    ]);
    const phased = await norms(early, late);
    // The same sums in another order.
    phased.slice(0, 3).forEach((norm, i) => expect(norm).toBeCloseTo(first[i]!, 7));
    expect(phased[3]! ** 2).toBeCloseTo(whole[3]! ** 2 - first[3]! ** 2, 7);
    expect(whole[0]).toBeGreaterThan(1.01 * first[0]!);
  });
});

describe('the clock of an adapter begins with it:', () => {
  it('its first step is one of a new optimizer', async () => {
    const run = both.optimizer(adamw({ lr: 1e-2, weightDecay: 0, epsilon: 1e-20 }));
    await using(run.build(), async (built) => {
      await reports(built, 3);
      const before = (await built.trainables())[1]!;
      await reports(built, 1);
      const after = (await built.trainables())[1]!;
      const [[, from] = [undefined, undefined]] = before;
      const [[, to] = [undefined, undefined]] = after;
      // Without corrections for a first step, it would be 0.58 times as long.
      const steps = Array.from(to!['up']!.data, (number, i) =>
        Math.abs(number - from!['up']!.data[i]!),
      );
      for (const step of steps) expect(step).toBeCloseTo(1e-2, 4);
    });
  });

  it('schedules have the length of its steps, and a rate that runs out does not end the run', async () => {
    const rates = (run: typeof both) =>
      using(run.build(), async (built) => (await reports(built)).map(({ lr }) => lr));
    const linear = both.optimizer(adamw({ lr: 3e-3 })).schedule({ name: 'linear' });
    const expected = [3e-3, 2e-3, 1e-3];
    for (const [i, lr] of (await rates(linear)).entries())
      expect(lr).toBeCloseTo(expected[i % 3]!, 12);
    const pieces = described
      .adapter({ ...early, lr: '1e-3:1, 1e-4:2' })
      .adapter({ ...late, lr: 1e-5 })
      .optimizer(adamw({ lr: 1 }));
    expect(await rates(pieces)).toEqual([1e-3, 1e-4, 1e-4, 1e-5, 1e-5, 1e-5]);
  });
});

it('a factor of a trainable multiplies its rate, schedules and all', async () => {
  const adapter = lowRank({ at: value, lrFactor: (_, name) => (name === 'up' ? 16 : 1) });
  const run = described
    .adapter(adapter)
    .optimizer(adamw({ lr: 1e-3, weightDecay: 0, epsilon: 1e-20 }))
    .schedule({ name: 'linear' })
    .steps(1);
  await using(run.build(), async (built) => {
    const [report] = await reports(built);
    expect(report!.lr).toBe(1e-3);
    const [state] = await built.trainables();
    const [{ up } = { up: undefined }] = state!.values();
    for (const number of up!.data) expect(Math.abs(number)).toBeCloseTo(16e-3, 4);
  });
});

it('a run that is resumed before an adapter begins is the same run', async () => {
  const run = both.optimizer(adamw({ lr: 1e-2 })).clip(0.5);
  const straight = await using(run.build(), async (built) => [
    await reports(built),
    await valuesOf(built),
  ]);
  const logDir = join(folder, 'resumed');
  await using(run.build({ logDir }), async (built) => {
    await reports(built, 2);
    await built.saveState();
  });
  await using(run.build({ logDir, resume: true }), async (built) => {
    expect(await built.resume()).toBe(2);
    const rest = await reports(built);
    expect(rest.map(({ loss }) => loss)).toEqual(
      (straight[0] as { loss: number }[]).slice(2).map(({ loss }) => loss),
    );
    expect(await valuesOf(built)).toEqual(straight[1]);
  });
});

it.each([
  [{ from: 2, to: 2 }, 'got 2 to 2'],
  [{ from: -1 }, 'got -1 to Infinity'],
  [{ to: 0.5 }, 'got 0 to 0.5'],
  [{ from: 4 }, 'no adapter is trained before step 4'],
])('steps %j are refused', async (steps, said) => {
  await expect(
    described
      .adapter({ ...early, steps })
      .optimizer(adamw({ lr: 1 }))
      .build(),
  ).rejects.toThrow(said);
});
