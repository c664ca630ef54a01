// Runs the tests of all projects, two at a time on two cores, and sums what ran.
// npm test [-- [--project=NAME[,NAME]] [ARGUMENT OF VITEST...]]   for example: npm test -- --project=tensor graph
import { existsSync, globSync, readFileSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../packages/cli/bin/child.mjs';
import { nx, nxEnvironment, root } from './process.mjs';
import { add, line, nothing, summarize } from './test-results.mjs';

const RESULT = join('.cache', 'tests.json');

/**
 * Takes `--project` out of the arguments; the rest is vitest's.
 * @param {readonly string[]} args
 */
export function selection(args) {
  /** @type {string[]} */
  const names = [];
  /** @type {string[]} */
  const rest = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? '';
    const [flag, value] = arg.split('=', 2);
    if (flag === '--project' || flag === '--projects')
      names.push(...(value ?? args[++i] ?? '').split(','));
    else rest.push(arg);
  }
  return { names: names.map((name) => name.replace(/^@sdft\//, '')), rest };
}

/** Folders that have tests, by the project's short name. */
export function projects() {
  const files = globSync(['packages/*/vitest.config.ts', '{benchmarks,tools}/vitest.config.ts'], {
    cwd: root,
  });
  return new Map(
    files
      .sort()
      .map(dirname)
      .map((folder) => [basename(folder), folder]),
  );
}

/** @param {readonly string[]} args */
async function main(args) {
  const all = projects();
  const { names, rest } = selection(args);
  const unknown = names.find((name) => !all.has(name));
  if (unknown !== undefined) {
    console.error(
      `There is no project ${JSON.stringify(unknown)}; there are ${[...all.keys()].join(', ')}.`,
    );
    return 2;
  }
  const chosen = [...all].filter(([name]) => names.length === 0 || names.includes(name));
  for (const [, folder] of chosen) rmSync(join(root, folder, RESULT), { force: true });

  // A filter that fits one project's files finds none in the others.
  const forwarded = rest.length > 0 ? ['--', '--passWithNoTests', ...rest] : [];
  const folders = chosen.map(([, folder]) => folder).join(',');
  // A Vulkan driver for the tests of the webgpu backend, once.
  await run(process.execPath, [join(root, 'tools/swiftshader.mjs')], { cwd: root });
  const status = await run(process.execPath, nx('test', [`--projects=${folders}`, ...forwarded]), {
    cwd: root,
    env: nxEnvironment,
  });

  let total = nothing();
  const lacking = [];
  console.log();
  for (const [name, folder] of chosen) {
    const file = join(root, folder, RESULT);
    if (!existsSync(file)) {
      lacking.push(name);
      continue;
    }
    const counts = summarize(JSON.parse(readFileSync(file, 'utf8')));
    console.log(`${name.padEnd(10)} ${line(counts)}`);
    total = add(total, counts);
  }
  for (const name of lacking) console.log(`${name.padEnd(10)} left no result`);
  const ran = total.passed + total.failed;
  if (ran === 0) console.error('No test ran.');
  console.log(`\n${line(total)}`);
  if (status !== 0) return status;
  return ran === 0 || total.failed > 0 || lacking.length > 0 ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.exitCode = await main(process.argv.slice(2));
