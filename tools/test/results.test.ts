import { describe, expect, test } from 'vitest';
import { add, line, nothing, summarize } from '../test-results.mjs';

const report = (...files: { status: string; tests: string[] }[]) => ({
  testResults: files.map(({ status, tests }, i) => ({
    name: `${i}.test.ts`,
    status,
    assertionResults: tests.map((state) => ({ status: state, fullName: state })),
  })),
});

describe('what vitest reported, summed', () => {
  test('passed, failed and everything that did not run', () => {
    const counts = summarize(
      report(
        { status: 'passed', tests: ['passed', 'passed', 'skipped', 'todo', 'pending'] },
        { status: 'failed', tests: ['failed', 'passed'] },
      ),
    );
    expect(counts).toEqual({ passed: 3, failed: 1, skipped: 3 });
  });

  test('a file that could not be loaded counts as one failure', () => {
    expect(summarize(report({ status: 'failed', tests: [] })).failed).toBe(1);
  });

  test('an empty report has no tests', () => {
    expect(summarize(report())).toEqual(nothing());
  });

  test('the closing line', () => {
    expect(
      line(add({ passed: 120, failed: 0, skipped: 0 }, { passed: 3, failed: 0, skipped: 0 })),
    ).toBe('123 passed, 0 failed');
    expect(line({ passed: 1, failed: 2, skipped: 3 })).toBe('1 passed, 2 failed, 3 skipped');
  });
});
