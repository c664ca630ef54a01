/** @file The folder that a model and the weight files it maps lie in while ONNX Runtime opens them: ONNX Runtime maps nothing from outside of it. */
import {
  constants,
  copyFileSync,
  linkSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../../errors.ts';
import { megabytes } from './failures.ts';

/** Left free on a disk that weights are copied to: others write there too. */
const SPARE_BYTES = 64 * 2 ** 20;

/** Whether `bytes` more fit into the file system of `folder`. */
export const hasRoom = (folder: string, bytes: number): boolean => {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize >= bytes + SPARE_BYTES;
};

const live = new Set<string>();
const removeAll = (): void => {
  for (const path of live) remove(path);
};

/** Throws nothing: where a mapped file cannot be removed (Windows), the folder waits for the next attempt. */
function remove(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
    live.delete(path);
  } catch {
    return;
  }
  if (live.size === 0) process.off('exit', removeAll);
}

function make(parent: string, prefix: string): string | undefined {
  try {
    const path = mkdtempSync(join(parent, prefix));
    if (live.size === 0) process.on('exit', removeAll);
    live.add(path);
    return path;
  } catch {
    return undefined;
  }
}

function attempt(action: () => void): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}

export class ModelFolder {
  readonly path: string;
  /** From the file that was asked for to its name in here. */
  readonly #names: Map<string, string>;
  readonly #notice: (message: string) => void;
  readonly #room: typeof hasRoom;

  private constructor(
    path: string,
    names: Map<string, string>,
    notice: (message: string) => void,
    room: typeof hasRoom,
  ) {
    this.path = path;
    this.#names = names;
    this.#notice = notice;
    this.#room = room;
  }

  /**
   * A new folder from which `files` can be mapped: among the system's temporary files, or, where those lie on another disk, beside one of `files`, whichever place can link most of them by size.
   * It goes away with `remove`, or when the process ends, unless that is killed. Throws UserError if a file is not there, or if there is no place to write to.
   */
  static make(
    files: readonly string[],
    notice: (message: string) => void,
    room = hasRoom,
  ): ModelFolder {
    const real = new Map(files.map((file) => [file, realFile(file)]));
    const sizes = new Map([...real.values()].map((path) => [path, statSync(path).size]));
    const all = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    const parents = [...sizes].sort((a, b) => b[1] - a[1]).map(([path]) => dirname(path));

    let best: { folder: ModelFolder; linked: number } | undefined;
    for (const parent of new Set([tmpdir(), ...parents])) {
      const path = make(parent, parent === tmpdir() ? 'sdft-' : '.sdft-');
      if (path === undefined) continue;
      const names = new Map<string, string>();
      for (const [file, source] of real) {
        const name = `${names.size}-${basename(source)}`;
        // A symbolic link will not do: ONNX Runtime looks where it leads.
        if (attempt(() => linkSync(source, join(path, name)))) names.set(file, name);
      }
      const linked = [...names.keys()].reduce((sum, file) => sum + sizes.get(real.get(file)!)!, 0);
      const folder = new ModelFolder(path, names, notice, room);
      if (!best || linked > best.linked) {
        best?.folder.remove();
        best = { folder, linked };
      } else folder.remove();
      if (best.linked === all) break;
    }
    if (!best)
      throw new UserError(
        `there is no folder to prepare the model in: ${tmpdir()} cannot be written to. Set TMPDIR to a folder that can`,
      );
    return best.folder;
  }

  /** The name in here of one of the files that this folder was made for: linked, else cloned, else copied where there is room; undefined if there is none. */
  nameOf(file: string): string | undefined {
    const known = this.#names.get(file);
    if (known !== undefined) return known;
    const source = realFile(file);
    const name = `${this.#names.size}-${basename(source)}`;
    const target = join(this.path, name);
    if (!attempt(() => copyFileSync(source, target, constants.COPYFILE_FICLONE_FORCE))) {
      const { size } = statSync(source);
      if (!this.#room(this.path, size) || !attempt(() => copyFileSync(source, target))) {
        rmSync(target, { force: true });
        return undefined;
      }
      this.#notice(
        `${file} can be mapped neither from ${tmpdir()} nor where it lies, so its ${megabytes(size)} are copied each time that a graph is compiled. A TMPDIR on the file's own disk avoids that, if the file is yours`,
      );
    }
    this.#names.set(file, name);
    return name;
  }

  /** What is mapped stays mapped. A second time does nothing. */
  remove(): void {
    if (live.has(this.path)) remove(this.path);
  }
}

/** Throws UserError if there is no such file. */
function realFile(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    throw new UserError(
      `the weights in ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)}); was the file moved or deleted?`,
    );
  }
}
