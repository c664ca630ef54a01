// Runs the long tests: soak, fuzz, thousands of steps.
// npm run test:long [-- [--sample] [--record] [ARGUMENT OF VITEST...]]   --sample: a hundredth of each; --record: note the results in docs/long-tests.md
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../packages/cli/bin/child.mjs';
import { output, root } from './process.mjs';

const RESULT = join(root, '.cache/long-tests.json');
const NOTES = join(root, 'docs/long-tests.md');

/**
 * Rows of docs/long-tests.md for what a report holds.
 * @param {import('./test-results.mjs').Report} report
 * @param {string} date as YYYY-MM-DD
 * @param {string} commit
 */
export function rows(report, date, commit) {
  const tests = report.testResults.flatMap(({ assertionResults }) => assertionResults);
  return tests
    .filter(({ status }) => status === 'passed' || status === 'failed')
    .map(({ fullName, status, duration, meta }) => {
      const result = status === 'passed' ? (meta?.result ?? 'passed') : 'FAILED';
      const minutes = ((duration ?? 0) / 60_000).toFixed(1);
      const cells = [date, commit, fullName, meta?.seed ?? '', minutes, result];
      return `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |\n`;
    });
}

/** The commit that ran, and whether the sources were exactly its own. */
function commit() {
  const changed = output('git', ['status', '--porcelain', '--untracked-files=no']).trim() !== '';
  return output('git', ['rev-parse', '--short', 'HEAD']).trim() + (changed ? ' with changes' : '');
}

/** @param {readonly string[]} args */
async function main(args) {
  const sample = args.includes('--sample');
  const record = args.includes('--record');
  if (sample && record) {
    console.error('--record is for whole runs: leave out --sample.');
    return 2;
  }
  rmSync(RESULT, { force: true });
  const rest = args.filter((arg) => arg !== '--sample' && arg !== '--record');
  const vitest = ['run', '--config', 'vitest.long.config.ts', '--mode', sample ? 'sample' : 'test'];
  const status = await run(
    process.execPath,
    [join(root, 'node_modules/vitest/vitest.mjs'), ...vitest, ...rest],
    { cwd: root },
  );
  if (record) {
    const report = JSON.parse(readFileSync(RESULT, 'utf8'));
    const added = rows(report, new Date().toISOString().slice(0, 10), commit());
    writeFileSync(NOTES, readFileSync(NOTES, 'utf8') + added.join(''));
    console.log(`Noted ${added.length} results in docs/long-tests.md.`);
  }
  return status;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
