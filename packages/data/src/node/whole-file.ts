import { randomUUID } from 'node:crypto';
import { link, lstat, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { reason, UserError } from '../errors.ts';

/** What a failing file operation means to the person at the machine. */
const meanings: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: make room, or write elsewhere',
  EDQUOT: 'your quota on this disk is used up: make room, or write elsewhere',
  EFBIG: 'the file would be larger than this system allows (see `ulimit -f`)',
  EACCES: 'you may not write there',
  EPERM: 'you may not write there',
  EROFS: 'the disk is read-only',
  ENOTDIR: 'part of its path is a file, not a folder',
  EEXIST: 'part of its path is a file, not a folder',
  EISDIR: 'there is a folder of that name',
};

/**
 * Writes a file that appears whole or not at all: into a temporary neighbour first, then under its name. Missing folders are made.
 * @throws UserError when the file exists and `force` is not set, or the machine refuses (full disk, no permission).
 */
export async function writeWhole(path: string, bytes: Uint8Array, force = false): Promise<void> {
  if (!force) await requireFree(path);
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID().slice(0, 8)}.part`);
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeSynced(temporary, bytes);
    await (force ? rename(temporary, path) : publish(temporary, path));
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${path} was not written: ${meanings[codeOf(error)] ?? reason(error)}`);
  } finally {
    // What has been renamed, or never began, is not there to be removed.
    await rm(temporary, { force: true }).catch(() => undefined);
  }
}

async function requireFree(path: string): Promise<void> {
  const taken = await lstat(path).then(
    () => true,
    () => false,
  );
  if (taken) throw existing(path);
}

async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A link fails where a file has appeared meanwhile; file systems without links get a plain rename. */
async function publish(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') throw existing(path);
    await rename(temporary, path);
  }
}

function existing(path: string): UserError {
  return new UserError(
    `${path} exists already: choose another name, or force it to be overwritten`,
  );
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
