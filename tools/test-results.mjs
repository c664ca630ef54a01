// Sums what vitest's JSON reporter wrote.

/**
 * @typedef {{ passed: number, failed: number, skipped: number }} Counts
 * @typedef {{ status: string, fullName: string, duration?: number, meta?: Record<string, unknown> }} Assertion
 * @typedef {{ status: string, name: string, assertionResults: Assertion[] }} FileResult
 * @typedef {{ testResults: FileResult[] }} Report
 */

/** @returns {Counts} */
export const nothing = () => ({ passed: 0, failed: 0, skipped: 0 });

/**
 * @param {Counts} a
 * @param {Counts} b
 * @returns {Counts}
 */
export const add = (a, b) => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: a.skipped + b.skipped,
});

/**
 * Counts the tests of a report. A file that could not be loaded holds no test, and counts as one that failed.
 * @param {Report} report
 * @returns {Counts}
 */
export function summarize(report) {
  const counts = nothing();
  for (const file of report.testResults) {
    const tests = file.assertionResults;
    if (tests.length === 0 && file.status === 'failed') counts.failed++;
    for (const { status } of tests) {
      if (status === 'passed') counts.passed++;
      else if (status === 'failed') counts.failed++;
      else counts.skipped++;
    }
  }
  return counts;
}

/** @param {Counts} counts */
export const line = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
