// Programs that a check starts.
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
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

/** What nx runs with; npm's warnings about the machine's settings are left out. */
export const nxEnvironment = {
  ...process.env,
  NX_TUI: 'false',
  // Without the daemon nx restores cached results even where it believes that they are still there.
  NX_DAEMON: 'false',
  npm_config_loglevel: 'error',
  // nx would have every program colour its output, also where that goes to a file.
  FORCE_COLOR: process.env.FORCE_COLOR ?? (process.stdout.isTTY ? '1' : '0'),
};

/**
 * Arguments for Node that run a target in several projects, as many at a time as there are cores.
 * @param {string} target such as `lint`
 * @param {readonly string[]} [more]
 */
export const nx = (target, more = []) => [
  join(root, 'node_modules/nx/dist/bin/nx.js'),
  'run-many',
  `--target=${target}`,
  `--parallel=${Math.min(availableParallelism(), 4)}`,
  '--output-style=static',
  ...more,
];

/**
 * Runs a target in every project.
 * @param {string} target
 */
export const everywhere = (target) => output(process.execPath, nx(target), { env: nxEnvironment });
