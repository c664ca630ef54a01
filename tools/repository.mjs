// Rules about the tracked files as such.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { CommandFailed, output, root } from './process.mjs';

const MAX_BYTES = 60e6;
const MAX_LINES = 400;

const tracked = () => output('git', ['ls-files', '-z']).split('\0').filter(Boolean);

/** @param {string} path */
const bytes = (path) => statSync(join(root, path), { throwIfNoEntry: false })?.size ?? 0;

/** All tracked files together stay small enough to clone in a moment. */
export function size() {
  const total = tracked().reduce((sum, path) => sum + bytes(path), 0);
  const megabytes = `${(total / 1e6).toFixed(1)} MB of ${MAX_BYTES / 1e6} MB`;
  if (total >= MAX_BYTES) throw new CommandFailed(`The tracked files take ${megabytes}.`);
  return megabytes;
}

/** The lock names no registry: `npm ci` installs from whichever the machine is set to. */
export function lock() {
  const missing = output(process.execPath, ['tools/lockcheck.mjs']);
  const addresses = readFileSync(join(root, 'package-lock.json'), 'utf8').match(
    /"resolved": *"https?:[^"]*"/g,
  );
  if (addresses) {
    throw new CommandFailed(
      `package-lock.json names a registry ${addresses.length} times, first ${addresses[0]}; .npmrc has omit-lockfile-registry-resolved=true against that.`,
    );
  }
  return missing;
}

/** No path of the machine that a file was written on, and no registry's address in npm's configuration. */
export function paths() {
  const search = (/** @type {string[]} */ ...args) => {
    try {
      return output('git', ['grep', '-nIE', ...args]);
    } catch (error) {
      // git grep ends with status 1 where nothing was found.
      if (error instanceof CommandFailed && /: exit status 1$/.test(error.message)) return '';
      throw error;
    }
  };
  const found =
    search(
      '(^|[^a-zA-Z0-9_.@/-])(/(work|root|home|Users|farm)/|[A-Z]:\\\\Users\\\\)[A-Za-z.]',
      '--',
      '.',
      ':!package-lock.json',
    ) + search('registry *=', '--', '.npmrc', '**/.npmrc');
  if (found !== '') throw new CommandFailed(found);
  return '';
}

/** Reports long source files; a long file is a hint, not an error. */
export function lines() {
  const long = tracked()
    .filter(
      (path) =>
        /\.(ts|mjs|js|py|wgsl)$/.test(path) && !path.startsWith('fixtures/') && bytes(path) > 0,
    )
    .map((path) => ({ path, count: readFileSync(join(root, path), 'utf8').split('\n').length - 1 }))
    .filter(({ count }) => count > MAX_LINES);
  return long
    .map(({ path, count }) => `warning: ${path} has ${count} lines, more than ${MAX_LINES}`)
    .join('\n');
}
