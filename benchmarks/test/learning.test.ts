/** @file docs/benchmarks.md says what was measured. After a new measurement: benchmarks/learning/run.ts --results */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { methods } from '../learning/methods.ts';
import { withLearning } from '../learning/page.ts';
import { asGood, deviation, type MethodResult, type Results } from '../learning/results.ts';
import { stepsOfBar, stepsOfLines } from '../learning/side.ts';

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

const page = read('docs/benchmarks.md');
const results = JSON.parse(read('benchmarks/results/learning.json')) as Results;

test('the page has the tables that the results make', () => {
  expect(withLearning(page, results)).toBe(page);
});

test('every method learned, on both sides, at three seeds, and ours no worse', () => {
  expect(results.methods.map(({ method }) => method)).toEqual(methods.map(({ name }) => name));
  for (const result of results.methods) {
    const { validationLossBefore, pairs } = result;
    expect(pairs.map(({ seed }) => seed)).toEqual([0, 1, 2]);
    expect(asGood(result)).toBe(true);
    for (const { ours, theirs } of pairs)
      for (const { validationLoss } of [ours, theirs])
        expect(validationLoss).toBeLessThan(validationLossBefore);
  }
});

describe('no worse', () => {
  const result = (ours: number[], theirs: number[]) =>
    ({
      pairs: ours.map((validationLoss, i) => ({
        ours: { validationLoss },
        theirs: { validationLoss: theirs[i] },
      })),
    }) as unknown as MethodResult;

  test('is up to one standard deviation above', () => {
    expect(deviation([0.1, 0.2, 0.3])).toBeCloseTo(0.1, 12);
    expect(asGood(result([0.29, 0.29, 0.29], [0.1, 0.2, 0.3]))).toBe(true);
    expect(asGood(result([0.31, 0.31, 0.31], [0.1, 0.2, 0.3]))).toBe(false);
    expect(asGood(result([0.1], [0.1]))).toBeUndefined();
  });
});

test('steps are read from a bar and from lines', () => {
  const bar = [
    'Steps:  7%| | 7/50 [00:12<02:41]',
    ' 60%| | 30/50 [00:01<00:01, 9it/s]',
    'Training hypernetwork [Epoch 1: 4/5]loss: 0.1: 16%| | 8/50 [00:13<02:40, 1it/s]',
  ].join('\r');
  expect([...stepsOfBar(bar, 50)]).toEqual([7, 8]);
  const lines = '{"step":1,"loss":0.1}\n{"step":1,"validationLoss":0.2}\n{"step":2,"loss":0.1}\n';
  expect([...stepsOfLines(lines)]).toEqual([1, 2]);
});
