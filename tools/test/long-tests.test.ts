import { expect, test } from 'vitest';
import { rows } from '../test-long.mjs';

test('a row for each test that ran: what it found, or that it failed', () => {
  const tests = [
    { fullName: 'soak', status: 'passed', duration: 90_000, meta: { seed: 7, result: '|x| < 1' } },
    {
      fullName: 'fuzz',
      status: 'failed',
      duration: 6_000,
      meta: { seed: 8, result: 'unfinished' },
    },
    { fullName: 'left out', status: 'skipped' },
  ];
  const report = { testResults: [{ name: 'a', status: 'failed', assertionResults: tests }] };
  expect(rows(report, '2026-01-02', 'abc1234')).toEqual([
    '| 2026-01-02 | abc1234 | soak | 7 | 1.5 | \\|x\\| < 1 |\n',
    '| 2026-01-02 | abc1234 | fuzz | 8 | 0.1 | FAILED |\n',
  ]);
});
