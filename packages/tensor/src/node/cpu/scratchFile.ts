/** @file Numbers that ONNX Runtime is to map, and that lie in no file yet. */
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { internal } from '../../errors.ts';

/** Bytes of a file. */
export interface Place {
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** Left free on the disk: others write there too. */
const SPARE_BYTES = 64 * 2 ** 20;
/** Kernels like what begins at multiples of this. */
const ALIGNMENT = 64;

const folders = new Set<string>();
const removeAll = (): void => {
  for (const folder of folders) remove(folder);
};

/** Throws nothing: where a mapped file cannot be removed (Windows), it waits for the next attempt. */
function remove(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    return;
  }
  folders.delete(folder);
  if (folders.size === 0) process.off('exit', removeAll);
}

/**
 * A file among the system's temporary ones, made when something is first written to it. It goes away with `remove`, or when the process ends, unless that is killed: then the system's own
 * cleaning of temporary files takes it.
 */
export class ScratchFile {
  #file: { readonly folder: string; readonly path: string; fd: number | undefined } | undefined;
  #length = 0;

  /** The place of a copy of `bytes`; undefined if there is no room for it. */
  append(bytes: Uint8Array): Place | undefined {
    const file = this.#opened();
    if (!file || !hasRoom(file.folder, bytes.byteLength)) return undefined;
    const offset = this.#length;
    try {
      for (let done = 0; done < bytes.byteLength; )
        done += writeSync(file.fd, bytes, done, bytes.byteLength - done, offset + done);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOSPC' && code !== 'EDQUOT' && code !== 'EFBIG') throw error;
      ftruncateSync(file.fd, offset);
      return undefined;
    }
    this.#length += Math.ceil(bytes.byteLength / ALIGNMENT) * ALIGNMENT;
    return { path: file.path, offset, length: bytes.byteLength };
  }

  /** What is mapped stays mapped. To be called again where the file could not be removed; otherwise a second time does nothing. */
  remove(): void {
    if (!this.#file || !folders.has(this.#file.folder)) return;
    if (this.#file.fd !== undefined) closeSync(this.#file.fd);
    this.#file.fd = undefined;
    remove(this.#file.folder);
  }

  /** Undefined where nothing can be written, which to the caller is the same as a full disk. */
  #opened(): { readonly folder: string; readonly path: string; readonly fd: number } | undefined {
    if (!this.#file) {
      try {
        const folder = mkdtempSync(join(tmpdir(), 'sdft-'));
        if (folders.size === 0) process.on('exit', removeAll);
        folders.add(folder);
        const path = join(folder, 'weights.bin');
        this.#file = { folder, path, fd: openSync(path, 'wx', 0o600) };
      } catch {
        return undefined;
      }
    }
    const { folder, path, fd } = this.#file;
    if (fd === undefined) throw internal('a scratch file was written to after its end');
    return { folder, path, fd };
  }
}

function hasRoom(folder: string, bytes: number): boolean {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize >= bytes + SPARE_BYTES;
}
