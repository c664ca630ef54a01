import { describe, expect, test } from 'vitest';
import { agreementOf } from '../measure/sameWork.ts';
import type { Step } from '../workload/task.ts';

const step = (k: number, change: Partial<Step> = {}): Step => ({
  seconds: 1,
  loss: 1 + k / 10,
  moment: [0.5, -0.25 * k],
  row: [k, 2 * k],
  ...change,
});
const run = [step(0), step(1), step(2)];

describe('both sides did the same work', () => {
  test('where every number is equal, whatever the times', () => {
    const slow = run.map((each) => ({ ...each, seconds: 9 }));
    expect(agreementOf(run, slow)).toEqual({
      steps: 3,
      loss: 0,
      gradient: 0,
      moment: 0,
      movement: 0,
      same: true,
    });
  });

  test('where they differ by rounding', () => {
    const rounded = run.map(({ moment, ...each }) => ({
      ...each,
      moment: moment.map((g) => g * (1 + 1e-6)),
    }));
    expect(agreementOf(run, rounded).same).toBe(true);
  });
});

test.each<[what: string, k: number, change: Partial<Step>]>([
  ['a loss', 2, { loss: 1.3 }],
  ['a loss that is no number', 1, { loss: Number.NaN }],
  ['the first gradient', 0, { moment: [0.5, 0.01] }],
  ['a later gradient', 2, { moment: [0.5, -0.6] }],
  ['a gradient of another length', 1, { moment: [0.5] }],
  ['a gradient that is no number', 1, { moment: [0.5, Number.NaN] }],
  ['where the row ends', 2, { row: [2, 4.5] }],
])('another %s: not the same work', (_, k, change) => {
  const other = run.map((each, i) => (i === k ? { ...each, ...change } : each));
  expect(agreementOf(run, other).same).toBe(false);
  expect(agreementOf(other, run).same).toBe(false);
});
