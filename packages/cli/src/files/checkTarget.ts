import { accessSync, constants, existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { UsageError } from '../failures/usageError.ts';

/**
 * Makes sure, before the work starts, that what it makes can be kept under this name.
 * @throws UsageError where something is there already and `force` is not set, or its folder cannot be written
 */
export function checkTarget(flag: string, path: string, force: boolean): void {
  if (!force && existsSync(path))
    throw new UsageError(`${flag} ${path}: exists already; nothing is overwritten without --force`);
  let folder = dirname(resolve(path));
  while (!existsSync(folder) && folder !== dirname(folder)) folder = dirname(folder);
  try {
    accessSync(folder, constants.W_OK);
  } catch {
    throw new UsageError(`${flag} ${path}: you may not write in ${folder}; choose another place`);
  }
}
