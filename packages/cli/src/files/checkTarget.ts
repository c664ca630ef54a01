import { accessSync, constants, lstatSync, readdirSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { UsageError } from '../failures/usageError.ts';

/** Bytes of a name; file systems take 255, of which an unfinished file needs some for a name of its own. */
const LONGEST_NAME = 240;

/**
 * Makes sure, before the work starts, that what it makes can be kept under this name.
 * @param kind what it makes
 * @throws UsageError where something (an empty folder aside) is there already and `force` is not set, or is of the other kind; where folders are none or cannot be written; where the name is too long
 */
export function checkTarget(
  flag: string,
  path: string,
  force: boolean,
  kind: 'file' | 'folder' = 'file',
): void {
  const refuse = (why: string): UsageError => new UsageError(`${flag} ${path}: ${why}`);
  if (Buffer.byteLength(basename(path)) > LONGEST_NAME)
    throw refuse(`the name is too long; at most ${LONGEST_NAME} bytes, please`);
  const there = found(path, lstatSync);
  const empty = kind === 'folder' && isEmptyFolder(path);
  if (there && !force && !empty)
    throw refuse('exists already; nothing is overwritten without --force');
  if (kind === 'file' && there?.isDirectory()) throw refuse('is a folder; name a file');
  let folder = kind === 'folder' ? resolve(path) : dirname(resolve(path));
  let at = found(folder, lstatSync);
  for (; at === undefined && folder !== dirname(folder); at = found(folder, lstatSync))
    folder = dirname(folder);
  if (!found(folder, statSync)?.isDirectory()) throw refuse(`${folder} is no folder`);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch {
    throw refuse(`you may not write in ${folder}; choose another place`);
  }
}

function isEmptyFolder(path: string): boolean {
  try {
    return readdirSync(path).length === 0;
  } catch {
    return false;
  }
}

/** What lies at a path; undefined where nothing does. */
function found(path: string, look: (path: string) => Stats): Stats | undefined {
  try {
    return look(path);
  } catch {
    return undefined;
  }
}
