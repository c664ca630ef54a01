import { expect, test } from 'vitest';
import { parseSummary } from '../../src/runs/summary.ts';

test('what a summary says', () => {
  const summary = {
    base: { name: 'nano', hash: 'ab' },
    method: 'lora',
    parameters: 12,
    steps: 3,
    seconds: 1.5,
    peakMemory: 1e9,
    files: [{ path: '../boy.safetensors', bytes: 10 }],
    version: '0.1.0',
  };
  expect(parseSummary(JSON.stringify(summary))).toEqual({
    base: { name: 'nano', hash: 'ab' },
    ...{ parameters: 12, steps: 3, seconds: 1.5, memory: 1e9 },
    files: ['../boy.safetensors'],
  });
});

test('what is no summary, or only half of one', () => {
  expect(['{"steps": 3', '[]', 'null', '7'].map(parseSummary)).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  expect(
    parseSummary('{"steps": "3", "seconds": -1, "files": [1, {"path": ""}], "base": 4}'),
  ).toEqual({
    ...{ base: undefined, parameters: undefined, steps: undefined },
    ...{ seconds: undefined, memory: undefined, files: [] },
  });
});
