// Checks everything but the tests: npm run check [-- NAME...]   all where no name is given; exit status 1 where one fails
import { output, everywhere, CommandFailed } from './process.mjs';
import { checkInstall } from './check-install.mjs';
import { pack } from './pack.mjs';
import { lines, lock, paths, size } from './repository.mjs';

/** The packages, as they would be published, hold what their package.json promises. */
function packages() {
  everywhere('build');
  for (const { tarball } of pack()) {
    output('publint', ['run', tarball, '--strict']);
    output('attw', [tarball, '--profile', 'esm-only']);
  }
}

/** @type {[name: string, check: () => string | void | Promise<void>][]} */
const CHECKS = [
  ['format', () => output('biome', ['format', '.', '--reporter=summary'])],
  ['lock', lock],
  ['size', size],
  ['paths', paths],
  ['lines', lines],
  ['typecheck', () => everywhere('typecheck')],
  ['lint', () => everywhere('lint')],
  ['build', () => everywhere('build')],
  ['packages', packages],
  ['install', checkInstall],
];
/** Checks whose findings are shown when they pass, too. */
const TELLING = new Set(['size', 'lines']);

const names = process.argv.slice(2);
const unknown = names.find((name) => !CHECKS.some(([known]) => known === name));
if (unknown !== undefined) {
  console.error(
    `There is no check ${JSON.stringify(unknown)}; there are ${CHECKS.map(([name]) => name).join(', ')}.`,
  );
  process.exit(2);
}

const failed = [];
for (const [name, check] of CHECKS) {
  if (names.length > 0 && !names.includes(name)) continue;
  const began = performance.now();
  let said = '';
  let verdict = 'ok';
  try {
    const result = await check();
    if (TELLING.has(name)) said = result ?? '';
  } catch (error) {
    verdict = 'FAILED';
    failed.push(name);
    said =
      error instanceof CommandFailed
        ? error.message
        : String(error instanceof Error ? error.stack : error);
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`${name.padEnd(10)} ${verdict.padEnd(6)} ${seconds.padStart(6)} s`);
  if (said.trim() !== '') console.log(said.trim().replace(/^/gm, '    '));
}
if (failed.length > 0) {
  console.log(`\nFailed: ${failed.join(', ')}`);
  process.exitCode = 1;
}
