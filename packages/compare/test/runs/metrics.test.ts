import { expect, test } from 'vitest';
import { parseMetrics } from '../../src/runs/metrics.ts';

test('micro-steps are averaged, validation is a curve of its own', () => {
  const { training, validation, unreadable } = parseMetrics(
    [
      '{"step": 0, "validationLoss": 0.5, "seconds": 0.1}',
      '{"step": 1, "microStep": 0, "loss": 0.2, "seconds": 1}',
      '{"step": 1, "microStep": 1, "loss": 0.4, "seconds": 2}',
      '{"step": 2, "loss": 0.1}',
      '{"step": 2, "validationLoss": 0.3, "seconds": 4}',
      '',
    ].join('\n'),
  );
  expect(training).toEqual([
    { step: 1, loss: expect.closeTo(0.3, 12), seconds: 2 },
    { step: 2, loss: 0.1, seconds: undefined },
  ]);
  expect(validation.map(({ step, loss }) => [step, loss])).toEqual([
    [0, 0.5],
    [2, 0.3],
  ]);
  expect(unreadable).toBe(0);
});

test('what cannot be read is counted: half lines, other things, numbers that are none', () => {
  const lines = [
    '{"step": 1, "loss": 0.2}',
    '{"step": 2, "lo',
    '7',
    'null',
    '{"step": 3, "loss": null}',
  ];
  const { training, unreadable } = parseMetrics(lines.join('\n'));
  expect([training.length, unreadable]).toEqual([1, 4]);
});

test('a step that was taken again counts as the later one', () => {
  const { training } = parseMetrics(
    '{"step": 1, "loss": 1}\n{"step": 2, "loss": 2}\n{"step": 1, "loss": 3}\n',
  );
  expect(training.map(({ loss }) => loss)).toEqual([3, 2]);
});
