// Programs that a check starts.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** A program that did not end with status 0; its message is what the program said. */
export class CommandFailed extends Error {}

/**
 * Runs a program and returns what it wrote to stdout.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {import('node:child_process').SpawnSyncOptions} [options]
 * @returns {string}
 */
export function output(program, args, options) {
  const { status, signal, error, stdout, stderr } = spawnSync(program, args, {
    cwd: root,
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
    encoding: 'utf8',
  });
  if (error) throw error;
  if (status === 0) return stdout;
  throw new CommandFailed(
    `${stdout}${stderr}\n${[program, ...args].join(' ')}: ${signal ?? `exit status ${status}`}`,
  );
}

/**
 * Runs nx on every project.
 * @param {string} target such as `lint`
 */
export const everywhere = (target) =>
  output(
    process.execPath,
    [
      'node_modules/nx/dist/bin/nx.js',
      'run-many',
      `--target=${target}`,
      '--parallel=2',
      '--output-style=static',
    ],
    { env: { ...process.env, NX_DAEMON: 'false', NX_TUI: 'false' } },
  );
