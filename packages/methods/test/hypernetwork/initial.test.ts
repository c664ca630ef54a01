/** @file How modules start, against moments of A1111's (`tools/hypernetwork/make_fixtures.py`). */
import { expect, test } from 'vitest';
import { draws, type HostArray } from '@sdft/tensor';
import type { InitContext, WeightInit } from '../../src/index.ts';
import { initialModule } from '../../src/hypernetwork/initialisation.ts';
import { partsOf } from '../../src/hypernetwork/structure.ts';
import { json, pathOf } from '../support/fixtures.ts';

interface Moments {
  readonly mean: number;
  readonly std: number;
  /** The largest absolute value. */
  readonly max: number;
  /** Share of values within one standard deviation: 0.68 for normal, 0.58 for uniform numbers. */
  readonly within: number;
}

const cases = json<
  {
    readonly weight_init: WeightInit;
    readonly activation_func: string;
    readonly values: Readonly<Record<string, Moments>>;
  }[]
>(pathOf('fixtures/hypernetwork/initial.json'));

test.for(cases)('$weight_init, $activation_func', ({ weight_init, activation_func, values }) => {
  const parts = partsOf(
    {
      layerStructure: [1, 2, 1],
      activation: activation_func,
      layerNorm: true,
      weightInit: weight_init,
      activateOutput: false,
      dropoutStructure: [0, 0, 0],
    },
    320,
  );
  const random = draws(3);
  const initial = initialModule(parts, weight_init);
  expect(Object.keys(initial).sort()).toEqual(Object.keys(values).sort());
  for (const [name, { shape, values: make }] of Object.entries(initial)) {
    const made = make({
      draw: {
        normal: (kind, size) => random.normal(`${name} ${kind}`, 0, size) as HostArray,
        uniform: (kind, size) => random.uniform(`${name} ${kind}`, 0, size) as HostArray,
      },
    } as InitContext);
    const data = Float64Array.from(made.data);
    expect(data).toHaveLength(shape.reduce((n, d) => n * d, 1));
    const expected = values[name]!;
    const mean = data.reduce((sum, x) => sum + x, 0) / data.length;
    const std = Math.sqrt(data.reduce((sum, x) => sum + (x - mean) ** 2, 0) / data.length);
    if (expected.std === 0) {
      expect(std, name).toBe(0);
      continue;
    }
    // Four standard errors of both samples: the standard deviation of n numbers is off by itself over the root of 2 n.
    const error = 4 * Math.SQRT2 * Math.sqrt(1 / (2 * data.length));
    expect(Math.abs(std / expected.std - 1), `${name}: standard deviation`).toBeLessThan(error);
    expect(Math.abs(mean - expected.mean) / std, `${name}: mean`).toBeLessThan(2 * error);
    const within = data.filter((x) => Math.abs(x) <= std).length / data.length;
    expect(Math.abs(within - expected.within), `${name}: shape`).toBeLessThan(2 * error);
    if (weight_init.endsWith('Uniform') && shape.length === 2) {
      const largest = data.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      expect(Math.abs(largest / expected.max - 1), `${name}: bound`).toBeLessThan(1e-3);
    }
  }
});
