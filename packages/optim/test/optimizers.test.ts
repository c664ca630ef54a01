import { reference } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { describe, expect, it } from 'vitest';
import {
  adamw,
  chain,
  clipByGlobalNorm,
  clipByValue,
  type GradientTransform,
  type Optimizer,
  sgd,
} from '../src/index.ts';
import { fixture } from './fixtures.ts';
import { compiled } from './run.ts';

type Numbers = Record<string, number[]>;
interface Case {
  settings: {
    lr: number;
    betas?: [number, number];
    eps?: number;
    weight_decay?: number;
    momentum?: number;
    nesterov?: boolean;
  };
  clip: ['norm' | 'value', number] | null;
  steps: ({ norm: number | null } & Numbers)[];
}
const { shapes, start, gradients, rates, cases } = fixture<{
  shapes: Numbers;
  start: Numbers;
  gradients: Numbers[];
  rates: number[];
  cases: Record<string, Case>;
}>('optimizers');

const optimizerOf = (name: string, { settings, clip }: Case): Optimizer => {
  const { lr, betas, eps, weight_decay, momentum, nesterov } = settings;
  const optimizer = name.startsWith('adamw')
    ? adamw({ lr, beta1: betas?.[0], beta2: betas?.[1], epsilon: eps, weightDecay: weight_decay })
    : sgd({ lr, momentum, nesterov, weightDecay: weight_decay });
  if (!clip) return optimizer;
  return chain(clip[0] === 'norm' ? clipByGlobalNorm(clip[1]) : clipByValue(clip[1]), optimizer);
};

const names = Object.keys(shapes);

describe.each([reference, cpu()])('on $name', (backend) => {
  it.each(Object.entries(cases))('%s is what PyTorch computes', async (name, expected) => {
    const { run, executable } = await compiled(backend, optimizerOf(name, expected), shapes, start);
    for (const [step, { norm, ...parameters }] of expected.steps.entries()) {
      const result = await run(step, expected.settings.lr * rates[step]!, gradients[step]!);
      if (norm !== null) expect(result['norm']!.get() / norm).toBeCloseTo(1, 6);
      for (const parameter of names) {
        const values = Array.from(result[parameter]!.data);
        parameters[parameter]!.forEach((value, i) => {
          // Some roundings of f32 a step, relative to values that grow beyond 1.
          expect(Math.abs(values[i]! - value)).toBeLessThanOrEqual(
            4e-7 * (step + 1) * Math.max(1, Math.abs(value)),
          );
        });
      }
    }
    await executable.dispose();
  });

  it('adamw does not drift over 2,000 steps', async () => {
    const [beta1, beta2, lr] = [0.9, 0.999, 1e-3];
    const { run, executable } = await compiled(
      backend,
      adamw({ lr, beta1, beta2, weightDecay: 0 }),
      shapes,
      start,
    );
    const ones = Object.fromEntries(names.map((name) => [name, start[name]!.map(() => 0.3)]));
    let last = 0;
    for (let step = 0; step < 2000; step++) last = (await run(step, lr, ones))['b']!.get(0);
    // A constant gradient moves each parameter by the rate at every step, whatever the size of the gradient.
    expect(start['b']![0]! - last).toBeCloseTo(2000 * lr * (0.3 / (0.3 + 1e-8)), 4);
    await executable.dispose();
  });
});

describe('settings', () => {
  it.each([
    [() => adamw({ lr: 1, beta1: 1 }), /adamw: beta1 must lie in \[0, 1\), got 1/],
    [() => adamw({ lr: 1, weightDecay: -1 }), /weightDecay must be at least 0, got -1/],
    [() => adamw({ lr: 1, epsilon: Number.NaN }), /epsilon/],
    [() => sgd({ lr: 1, nesterov: true }), /nesterov needs momentum/],
    [() => sgd({ lr: 1, momentum: 1 }), /momentum must lie in \[0, 1\)/],
    [() => clipByGlobalNorm(0), /clip must be a positive number/],
    [() => clipByValue('0.1:x'), /clip "0.1:x": "x" is no step/],
  ])('out of range are refused: %#', (make, message) => {
    expect(make).toThrow(
      expect.objectContaining({ name: 'UserError', message: expect.stringMatching(message) }),
    );
  });

  it('a chain ends in an optimizer', () => {
    const clip = clipByValue(1) as GradientTransform & Optimizer;
    expect(() => chain(clip)).toThrow(/the last link must be an optimizer/);
  });

  it('a chain says as data what it consists of', () => {
    const { recipe, numbers } = chain(clipByGlobalNorm('1:5, 0.5'), adamw({ lr: 1e-3 }));
    expect(recipe).toEqual({
      name: 'adamw',
      lr: 1e-3,
      before: [{ name: 'clipByGlobalNorm', max: '1:5, 0.5' }],
    });
    expect(Object.keys(numbers)).toEqual([
      'clipByGlobalNorm.max',
      'adamw.correction1',
      'adamw.correction2',
    ]);
    expect([4, 5, 6].map((step) => numbers['clipByGlobalNorm.max']!.at(step))).toEqual([
      1, 0.5, 0.5,
    ]);
  });
});
