import { describe, expect, it } from 'vitest';
import { rules } from '../../src/backends/reference/rules.ts';
import { grad } from '../../src/grad/grad.ts';
import type { Primitive } from '../../src/graph/types.ts';
import { type Example, functionExamples, primitiveExamples } from '../support/cases.ts';
import { expectNumericalGradient, type Loss, weigh } from '../support/numerical.ts';

const smooth = [...primitiveExamples, ...functionExamples].filter((e) => e.smooth);

const lossOf =
  ({ compute }: Example): Loss =>
  (t, inputs) =>
    compute(t, inputs)
      .map((result, k) => weigh(t, result, `weight ${k}`))
      .reduce((a, b) => a.add(b));

describe('gradients equal finite differences', () => {
  it.for(smooth)('$op: $name', (example) => {
    expectNumericalGradient(lossOf(example), example.inputs);
  });
});

describe('gradients of gradients equal finite differences', () => {
  it.for(smooth)('$op: $name', (example) => {
    const slope: Loss = (t, inputs) => {
      const wrt = inputs.filter((x) => x.dtype === 'f32');
      return grad(lossOf(example)(t, inputs), wrt)
        .map((g, k) => weigh(t, g, `second weight ${k}`))
        .reduce((a, b) => a.add(b));
    };
    expectNumericalGradient(slope, example.inputs);
  });
});

describe('no gap', () => {
  it('every primitive through which a gradient flows has a smooth example', () => {
    const without: Primitive[] = [
      // Leaves; `input` is under every example.
      'weight',
      'constant',
      // Steps, whose slope is 0 or none.
      'less',
      'equal',
      'cast',
      // Nothing flows, by definition.
      'stopGradient',
      // Covered through the functions.
      'composite',
      'part',
      // Whoever writes one says what its gradient is.
      'custom',
    ];
    const covered = new Set<string>(smooth.map((e) => e.op));
    expect(Object.keys(rules).filter((op) => !covered.has(op))).toEqual(without);
  });
});
