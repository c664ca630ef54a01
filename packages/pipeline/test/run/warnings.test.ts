/** @file A run says which tensors get no gradient. */
import { reference } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import { type Adapter, constant } from '../../src/index.ts';
import { lowRank, pictures, reports, stem, using } from '../support/small.ts';

/** One factor, and another that counts nothing however it is. */
const idle: Adapter = {
  name: 'idle',
  at: 'unet.conv_in',
  init: () => ({ used: constant([1], 1), idle: constant([1], 1) }),
  wrap:
    (layer, { used, idle: other }) =>
    (x) =>
      layer(x)
        .mul(used!)
        .add(other!.mul(x.mean().stopGradient().mul(0))),
};
const run = (adapter: Adapter, steps: number) =>
  stem.adapter(adapter).data(pictures).steps(steps).build({ backend: reference });

describe('a run', () => {
  it('names the tensors that no gradient reached in the first steps, once', async () => {
    await using(run(idle, 5), async (training) => {
      const all = await reports(training);
      expect(all.map(({ warnings }) => warnings.length)).toEqual([0, 0, 0, 0, 1]);
      expect(all[4]!.warnings[0]).toMatch(
        /no gradient reached 1 of \d+ trained tensors in the first 5 steps: idle\/unet\.conv_in\/idle$/,
      );
    });
  });

  it('is silent where each has had one, though not at the first step', async () => {
    await using(run(lowRank({ name: 'second', at: 'unet.**.attn2.to_q' }), 4), async (training) => {
      expect((await reports(training)).flatMap(({ warnings }) => warnings)).toEqual([]);
    });
  });
});
