import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { UserError } from '@sdft/tensor';
import type { ByteSource } from '../checkpoint/byteSource.ts';

/** Node's readSync takes no more at once. */
const maxRead = 2 ** 30;

/**
 * A file whose bytes are read when asked for. It is opened for each read, so that nothing has to be closed.
 *
 * @throws UserError where the file is missing, is no file, cannot be read, or has changed since it was first seen
 */
export function fileSource(path: string): ByteSource {
  const first = attempt(path, () => statSync(path));
  if (first.isDirectory()) throw new UserError(`${path}: is a folder; a file is needed here`);
  // Reading a pipe would wait for ever.
  if (!first.isFile()) throw new UserError(`${path}: is a pipe or a device; a file is needed here`);
  return Object.freeze({
    name: path,
    isFile: true,
    size: first.size,
    read: (offset: number, length: number) =>
      attempt(path, () => {
        const file = openSync(path, 'r');
        try {
          const { size, mtimeMs } = fstatSync(file);
          if (size !== first.size || mtimeMs !== first.mtimeMs) {
            throw new UserError(
              `${path}: the file changed while it was in use; run again with a file that stays as it is`,
            );
          }
          const bytes = new Uint8Array(length);
          let filled = 0;
          while (filled < length) {
            const count = readSync(
              file,
              bytes,
              filled,
              Math.min(length - filled, maxRead),
              offset + filled,
            );
            if (count === 0)
              throw new UserError(
                `${path}: ends at byte ${offset + filled}, ${offset + length} were expected`,
              );
            filled += count;
          }
          return bytes;
        } finally {
          closeSync(file);
        }
      }),
  });
}

/** Runs file access; what the system reports about the file becomes a UserError that names it. */
export function attempt<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw explain(path, error);
  }
}

const meanings: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder',
  EACCES: 'you have no permission for it',
  EPERM: 'you have no permission for it',
  EISDIR: 'is a folder; a file is needed here',
  ENOTDIR: 'a part of the path is a file, not a folder',
  EEXIST: 'exists already; nothing is overwritten without --force',
  ENOSPC: 'the disk is full; free some space or write elsewhere',
  EDQUOT: 'your disk quota is used up; free some space or write elsewhere',
  EFBIG:
    'the file would be larger than allowed here (ulimit -f, or the file system); raise the limit or write elsewhere',
  EROFS: 'the disk is read-only; write elsewhere',
  EIO: 'the disk reports an error',
  ELOOP: 'its links lead round in a circle',
  EBUSY: 'is in use',
  ENXIO: 'is no file',
  EMFILE: 'too many files are open (ulimit -n)',
  ENAMETOOLONG: 'the name is too long',
};

/** Turns an error of the file system into a UserError that names the path; returns every other error as it is. */
export function explain(path: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  const meaning = code === undefined ? undefined : meanings[code];
  return meaning === undefined ? error : new UserError(`${path}: ${meaning}`, { cause: error });
}
