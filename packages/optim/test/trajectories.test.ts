/** @file Optimizers whose originals are packages of their own, over 40 steps of odd shapes. */
import { reference, trace } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { describe, expect, it } from 'vitest';
import {
  adafactor,
  learningRate,
  lion,
  type Optimizer,
  optimizers,
  optimizerNamed,
  prodigy,
  stateType,
} from '../src/index.ts';
import { fixture } from './fixtures.ts';
import { unpacked, unpackedAll } from './packed.ts';
import { compiled } from './run.ts';

type Packed = Record<string, string>;
interface Case {
  settings: Record<string, unknown>;
  rates: number[];
  idle: number;
  snapshots: Record<string, Packed>;
  d?: number[];
}
const { steps, shapes, start, gradients, cases } = fixture<{
  steps: number;
  shapes: Record<string, number[]>;
  start: Packed;
  gradients: Packed[];
  cases: Record<string, Case>;
}>('trajectories');

/** Settings of the Python classes by our names. */
function optimizerOf(name: string, settings: Case['settings']): Optimizer {
  const [kind] = name.split('_') as ['lion' | 'adafactor' | 'prodigy'];
  const { lr, betas, eps, relative_step: _, ...others } = settings;
  const camel = Object.fromEntries(
    Object.entries(others).map(([key, value]) => [
      key.replace(/_(.)/g, (__, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );
  const [beta1, beta2] = (betas ?? []) as number[];
  const [epsilon1, epsilon2] = [eps].flat() as number[];
  return optimizerNamed({
    name: kind,
    ...camel,
    ...(lr !== null && { lr }),
    ...(betas !== undefined && { beta1, beta2 }),
    ...(Array.isArray(eps) ? { epsilon1, epsilon2 } : eps !== undefined && { epsilon: eps }),
  });
}

/** The largest difference, relative to the largest number there is. */
function error(values: ArrayLike<number>, expected: Float32Array): number {
  const size = Math.max(1e-3, ...expected.map(Math.abs));
  return Math.max(...expected.map((value, i) => Math.abs(values[i]! - value))) / size;
}

/**
 * How far from the originals, which were computed in double precision: roundings of f32, of the rate on `reference` and of everything on `cpu`. Prodigy's d rests on the small
 * differences between parameters and their first values, of which f32 keeps a few digits only, and multiplies every step.
 */
const tolerance = (backend: string, name: string): number =>
  backend === 'reference' ? 2e-7 : name.startsWith('prodigy') ? 5e-4 : 2e-6;

describe.each([reference, cpu()])('on $name', (backend) => {
  it.each(Object.entries(cases))('%s goes the way of its original', async (name, expected) => {
    const { settings, rates, idle, snapshots, d = [] } = expected;
    const optimizer = optimizerOf(name, settings);
    const { run, executable } = await compiled(backend, optimizer, shapes, unpackedAll(start));
    const most = tolerance(backend.name, name);
    for (let step = 0; step < steps; step++) {
      const given = unpackedAll(gradients[step]!);
      if (step < idle) for (const values of Object.values(given)) values.fill(0);
      const { lr } = optimizer;
      const rate = typeof lr === 'object' ? lr.at(step) : Number(lr) * rates[step]!;
      const result = await run(step, rate, given);
      for (const [parameter, text] of Object.entries(snapshots[step + 1] ?? {}))
        expect(
          error(result[parameter]!.data, unpacked(text)),
          `${parameter} after step ${step + 1}`,
        ).toBeLessThanOrEqual(most);
      if (step in d) {
        const found = (await executable.read('state d')).data[0]! || settings['d0'];
        expect(
          Math.abs(Number(found) / d[step]! - 1),
          `d after step ${step + 1}`,
        ).toBeLessThanOrEqual(most);
      }
    }
    await executable.dispose();
  });
});

describe('memory', () => {
  const shapes = { kernel: [32, 16, 3, 3], matrix: [64, 128], vector: [64] };
  const size = (list: ReturnType<Optimizer['init']>): number =>
    Object.values(list).reduce(
      (sum, state) => sum + stateType(state).shape.reduce((n, d) => n * d, 1),
      0,
    );
  it.each([
    [lion({ lr: 1 }), size(shapes)],
    // Rows [32, 16, 3] and columns [32, 16, 3], [64] and [128], and the vector itself.
    [adafactor(), 2 * 32 * 16 * 3 + 64 + 128 + 64],
    [adafactor({ beta1: 0.9 }), size(shapes) + 2 * 32 * 16 * 3 + 64 + 128 + 64],
    [prodigy(), 4 * size(shapes) + 4],
    [prodigy({ beta1: 0 }), 3 * size(shapes) + 4],
  ])('of $recipe.name', (optimizer, numbers) => {
    expect(size(optimizer.init(shapes))).toBe(numbers);
  });
});

describe('rates', () => {
  it('of adafactor without lr are a schedule of their own', () => {
    const { lr } = adafactor();
    const schedule = learningRate({ lr });
    expect([0, 1, 99_999].map((step) => schedule.at(step))).toEqual([
      0.01,
      0.01,
      1 / Math.sqrt(1e5),
    ]);
    expect(learningRate({ lr: adafactor({ warmupInit: true }).lr }).at(4)).toBeCloseTo(5e-6, 12);
    expect(() => learningRate({ lr, name: 'cosine', steps: 9 })).toThrow(
      /the rates of an optimizer without lr are a schedule of their own; give one number to use cosine/,
    );
    expect(() => learningRate({ lr, warmup: 5 })).toThrow(/to use a warm-up/);
  });

  it('of prodigy are one, and 1 where nothing is said', () => {
    expect(prodigy().lr).toBe(1);
    const traced = (same: boolean) =>
      trace((t) => {
        const rates = { a: t.input('lr', []), b: t.input('other', []) };
        const { init, update } = prodigy();
        const state = Object.entries(init({ a: [2], b: [2] }));
        const each = <T>(make: (name: string) => T) => ({ a: make('a'), b: make('b') });
        const { parameters } = update({
          gradients: each((name) => t.input(`gradient ${name}`, [2])),
          parameters: each((name) => t.input(name, [2])),
          state: Object.fromEntries(
            state.map(([name, given]) => [name, t.state(name, stateType(given).shape)]),
          ),
          numbers: {},
          lr: same ? { a: rates.a, b: rates.a } : rates,
        });
        return { outputs: parameters };
      });
    expect(() => traced(true)).not.toThrow();
    expect(() => traced(false)).toThrow(/prodigy: finds one step size for all parameters/);
  });
});

describe('optimizers by name', () => {
  it('say their settings, which are the ones that they take', () => {
    expect(Object.keys(optimizers)).toEqual([
      ...['adamw', 'adamw8bit', 'lion', 'adafactor', 'prodigy', 'sgd'],
    ]);
    for (const [name, { settings, summary, needsRate }] of Object.entries(optimizers)) {
      expect(summary).not.toBe('');
      const defaults = Object.fromEntries(
        Object.entries(settings).map(([key, setting]) => [key, setting.default]),
      );
      const { recipe } = optimizerNamed({ name, ...(needsRate && { lr: 1 }), ...defaults });
      expect(recipe.name).toBe(name);
    }
  });

  it.each([
    [
      { name: 'adam', lr: 1 },
      /no optimizer called "adam"; did you mean adamw\? There are adamw, adamw8bit, lion/,
    ],
    [{ name: 'lion' }, /lion: there is no learning rate/],
    [
      { name: 'lion', lr: 1, epsilon: 1 },
      /lion: there is no setting epsilon; it has lr, beta1, beta2, weightDecay/,
    ],
    [{ name: 'lion', lr: 1, beta1: 1 }, /lion: beta1 must lie in \[0, 1\), got 1/],
    [{ name: 'adafactor', clipThreshold: 0 }, /clipThreshold must be more than 0, got 0/],
    [{ name: 'adafactor', decayRate: 0.8 }, /adafactor: decayRate must be less than 0, got 0.8/],
    [{ name: 'adafactor', scaleParameter: 'no' }, /scaleParameter must be true or false, got no/],
    [{ name: 'adafactor', lr: 1, warmupInit: true }, /warmupInit is about the relative step/],
    [{ name: 'prodigy', d0: 0 }, /prodigy: d0 must be more than 0/],
    [{ name: 'prodigy', growthRate: 1 }, /growthRate must be more than 1/],
  ])('refuse %o', (recipe, message) => {
    expect(() => optimizerNamed(recipe)).toThrow(
      expect.objectContaining({ name: 'UserError', message: expect.stringMatching(message) }),
    );
  });
});
