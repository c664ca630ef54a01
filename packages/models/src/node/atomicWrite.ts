import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { UserError } from '@sdft/tensor';
import { explain } from './fileSource.ts';

/** How a file or folder may be written. */
export interface WriteOptions {
  /** Replace what is there. Without it, what exists is never touched. */
  readonly force?: boolean;
}

/** Unfinished files and folders; removed when the process ends before they are whole. */
const unfinished = new Set<string>();
const discard = (path: string): void => {
  unfinished.delete(path);
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // Why it could not be written is said; that it cannot be removed has the same reason.
  }
};
process.on('exit', () => unfinished.forEach(discard));

/**
 * Writes a file that appears whole or not at all: the bytes go to a hidden file in the same folder, which gets its name
 * when they are safely on disk. Folders on the way to it are made.
 *
 * @param chunks the bytes in order; each is written before the next is asked for
 * @throws UserError where the file exists (without `force`) or cannot be written, a full disk too; nothing is left behind then
 */
export async function writeFileWhole(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: WriteOptions = {},
): Promise<void> {
  const target = resolve(path);
  refuseExisting(target, path, options);
  const part = partOf(target);
  try {
    await makeFolder(dirname(target), path);
    const file = await open(part, 'wx');
    unfinished.add(part);
    try {
      for await (const chunk of chunks) await writeAll(file, chunk);
      await file.sync();
    } finally {
      await file.close();
    }
    refuseExisting(target, path, options);
    await rename(part, target);
    unfinished.delete(part);
    await syncFolder(dirname(target));
  } catch (error) {
    if (unfinished.has(part)) discard(part);
    throw explain(path, error);
  }
}

/**
 * Fills a folder that appears whole or not at all. An existing empty folder is taken over; with `force` so is one that holds
 * `marker`, whose old contents are removed at the end. Any other existing folder is refused, whatever the options.
 *
 * @param marker a file that only folders of this kind hold
 * @param fill writes into the folder whose path it gets
 * @throws UserError where the folder exists or cannot be written; nothing is left behind then
 */
export async function writeFolderWhole(
  path: string,
  marker: string,
  fill: (folder: string) => Promise<void>,
  options: WriteOptions = {},
): Promise<void> {
  const target = resolve(path);
  const old = checkFolder(target, path, marker, options);
  const part = partOf(target);
  try {
    unfinished.add(part);
    await mkdir(part, { recursive: true });
    await fill(part);
    if (old === 'replace') {
      const aside = partOf(target);
      await rename(target, aside);
      try {
        await rename(part, target);
      } catch (error) {
        await rename(aside, target);
        throw error;
      }
      discard(aside);
    } else {
      if (old === 'empty') rmSync(target, { recursive: true });
      await rename(part, target);
    }
    unfinished.delete(part);
    await syncFolder(dirname(target));
  } catch (error) {
    discard(part);
    throw explain(path, error);
  }
}

/** Makes the folder that `path` lies in. That a file is in its place the system calls EEXIST, which means something else of `path` itself. */
async function makeFolder(folder: string, path: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
    throw new UserError(`${path}: a part of the path is a file, not a folder`, { cause: error });
  });
}

function partOf(target: string): string {
  return join(dirname(target), `.${basename(target)}.${randomBytes(4).toString('hex')}.part`);
}

function refuseExisting(target: string, path: string, { force = false }: WriteOptions): void {
  if (!force && existsSync(target))
    throw new UserError(`${path}: exists already; nothing is overwritten without --force`);
}

function checkFolder(
  target: string,
  path: string,
  marker: string,
  { force = false }: WriteOptions,
): 'new' | 'empty' | 'replace' {
  if (!existsSync(target)) return 'new';
  let names: string[];
  try {
    names = readdirSync(target);
  } catch (error) {
    throw explain(path, error);
  }
  if (names.length === 0) return 'empty';
  if (!force)
    throw new UserError(`${path}: exists already; nothing is overwritten without --force`);
  if (!names.includes(marker)) {
    throw new UserError(
      `${path}: is a folder without ${marker}; even --force replaces only folders that have it. Choose another name, or empty the folder yourself`,
    );
  }
  return 'replace';
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, chunk: Uint8Array): Promise<void> {
  const most = 2 ** 30;
  for (let at = 0; at < chunk.length; ) {
    at += (await file.write(chunk, at, Math.min(chunk.length - at, most))).bytesWritten;
  }
}

async function syncFolder(path: string): Promise<void> {
  // Some systems cannot open a folder; the file itself is on disk already.
  const folder = await open(path, 'r').catch(() => undefined);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
}
