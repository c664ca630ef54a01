import { expect, test } from 'vitest';
import { figuresTable, number, table } from '../report/table.ts';

test.each([
  [0, '0.00'],
  [1.35, '1.35'],
  [12.345, '12.3'],
  [0.04567, '0.0457'],
  [-5.5, '-5.50'],
  [99_999, '99999'],
  [2.4e-6, '2.4e-6'],
  [Number.POSITIVE_INFINITY, 'Infinity'],
])('%d is shown as %s', (value, text) => {
  expect(number(value)).toBe(text);
});

test('columns are as wide as they must be, words to the left and numbers to the right', () => {
  expect(
    table([
      ['job', 'figure', 'ours', 'goal'],
      ['a', 'seconds', '1.00 s', ''],
      ['longer', 's', '22.00 s', 'x'],
    ]),
  ).toBe('job     figure      ours  goal\na       seconds   1.00 s\nlonger  s        22.00 s  x');
});

test('a goal that was missed stands out; what was measured alone has no ratio', () => {
  const outcome = {
    workload: {},
    versions: {},
    samples: {},
    figures: [
      {
        figure: 'seconds a step',
        unit: 's',
        ours: 2,
        theirs: 2.5,
        ratio: { ofMedians: 1.25, ofPairs: 1.26, interval: [1.2, 1.3] },
        goal: { text: '>= 1.35x', reached: false },
      },
      { figure: 'peak', unit: 'GB', ours: 2, theirs: 3 },
      { figure: 'alone', unit: 'GB', ours: 2 },
    ],
  } as const;
  const [, first, second, third] = figuresTable([{ job: 'j', outcome }]).split('\n');
  expect(first).toMatch(/2\.00 s +2\.50 s +1\.25x +1\.26x \(1\.20-1\.30\) +>= 1\.35x: MISSED$/);
  expect(second).toMatch(/2\.00 GB +3\.00 GB +1\.50x$/);
  expect(third).toMatch(/alone +2\.00 GB$/);
});
