/** @file Frozen weights as constants of a model: mapped out of the files that hold them, not read. */
import {
  closeSync,
  constants,
  copyFileSync,
  linkSync,
  openSync,
  statfsSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { UserError } from '../../errors.ts';
import { type Shape, showShape, sizeOf } from '../../graph/types.ts';
import { widen } from '../../host/fromWeight.ts';
import type { Weight } from '../../weight.ts';
import type { Emitter, Name } from './emit.ts';

/**
 * Declares weights in models that lie in `folder`. f32 weights that lie in a file are mapped from it, through a link beside the model (ONNX Runtime refuses any other place);
 * all others are widened to f32 into a file of the folder's own. Nothing is kept in memory.
 */
export class WeightFiles {
  readonly #folder: string;
  readonly #weights: ReadonlyMap<string, Weight>;
  readonly #links = new Map<string, string>();
  readonly #widened = new Map<string, { location: string; offset: number; length: number }>();
  #own: { fd: number; length: number } | undefined;

  constructor(folder: string, weights: ReadonlyMap<string, Weight>) {
    this.#folder = folder;
    this.#weights = weights;
  }

  /** Declares the weight in `shape` (its own, or another of as many elements). Throws UserError if it is missing or does not fit. */
  readonly emit = (emitter: Emitter, name: string, shape: Shape): Name => {
    const weight = this.#weights.get(name);
    if (!weight) throw new UserError(`the base model has no tensor ${name}`);
    if (sizeOf(weight.shape) !== sizeOf(shape))
      throw new UserError(
        `${name} is ${showShape(weight.shape)} in the base model, the network needs ${showShape(shape)}`,
      );
    const known = `w:${name}:${shape.join('x')}`;
    if (!emitter.initializers.some((i) => i.name === known))
      emitter.initializers.push({
        name: known,
        type: 'f32',
        shape,
        external: this.#place(name, weight),
      });
    return known;
  };

  /** Finishes the file of widened weights. */
  close(): void {
    if (this.#own) closeSync(this.#own.fd);
    this.#own = undefined;
  }

  #place(name: string, weight: Weight): { location: string; offset: number; length: number } {
    const { file } = weight;
    if (file && weight.dtype === 'f32' && file.offset % 4 === 0)
      return { location: this.#link(file.path), offset: file.offset, length: file.length };
    const known = this.#widened.get(name);
    if (known) return known;
    this.#own ??= { fd: openSync(join(this.#folder, 'widened.bin'), 'wx'), length: 0 };
    const values = widen(weight);
    const place = { location: 'widened.bin', offset: this.#own.length, length: values.byteLength };
    writeSync(this.#own.fd, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    // Mapped at multiples of 64 bytes, as kernels like them.
    this.#own.length += Math.ceil(values.byteLength / 64) * 64;
    writeSync(this.#own.fd, new Uint8Array(this.#own.length - place.offset - values.byteLength));
    this.#widened.set(name, place);
    return place;
  }

  #link(path: string): string {
    const known = this.#links.get(path);
    if (known) return known;
    const name = `${this.#links.size}-${basename(path)}`;
    bringBeside(path, join(this.#folder, name));
    this.#links.set(path, name);
    return name;
  }
}

/** The file at `target` as well: linked if the file system lets us, cloned if it can, else copied. Throws UserError if there is no room for a copy. */
export function bringBeside(path: string, target: string): 'linked' | 'cloned' | 'copied' {
  try {
    linkSync(path, target);
    return 'linked';
  } catch {
    // Another file system, a read-only one, one without links, or a file of somebody else's.
  }
  try {
    copyFileSync(path, target, constants.COPYFILE_FICLONE_FORCE);
    return 'cloned';
  } catch {
    // No copy-on-write here.
  }
  const { size } = statSync(path);
  const { bavail, bsize } = statfsSync(join(target, '..'));
  if (bavail * bsize < size * 1.05)
    throw new UserError(
      `${path} cannot be mapped where it lies, and ${join(target, '..')} has ${Math.round((bavail * bsize) / 1e6)} MB left for a copy of ${Math.round(size / 1e6)} MB; free some room, or set TMPDIR to a folder on the file's own disk`,
    );
  copyFileSync(path, target);
  return 'copied';
}
