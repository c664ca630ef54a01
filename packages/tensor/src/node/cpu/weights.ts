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
import type { TapOrder, WeightSource } from './lower.ts';

type Place = { readonly location: string; readonly offset: number; readonly length: number };
const OWN = 'own.bin';

/**
 * Declares weights in models that lie in `folder`. f32 weights that lie in a file are mapped from it, through a link beside the model (ONNX Runtime refuses any other place);
 * all others are widened to f32 into a file of the folder's own. Nothing is kept in memory.
 */
export class WeightFiles implements WeightSource {
  readonly #folder: string;
  readonly #weights: ReadonlyMap<string, Weight>;
  readonly #links = new Map<string, string>();
  readonly #places = new Map<string, Place>();
  #file: { fd: number; length: number } | undefined;

  constructor(folder: string, weights: ReadonlyMap<string, Weight>) {
    this.#folder = folder;
    this.#weights = weights;
  }

  /** Throws UserError if the weight is missing or does not fit. */
  weight(emitter: Emitter, name: string, shape: Shape): Name {
    const weight = this.#find(name, shape);
    const { file } = weight;
    const mappable = file && weight.dtype === 'f32' && file.offset % 4 === 0;
    return this.#declare(emitter, `w:${name}:${shape.join('x')}`, shape, {
      external: mappable
        ? { location: this.#link(file.path), offset: file.offset, length: file.length }
        : this.#own(name, () => widen(weight)),
    });
  }

  /** Throws UserError if the weight is missing or no kernel. */
  tapRows(emitter: Emitter, name: string, order: TapOrder): Name {
    const weight = this.#find(name);
    const [o, c, kh, kw] = weight.shape as [number, number, number, number];
    const shape = order === 'forward' ? [kh * kw * c, o] : [kh * kw * o, c];
    const key = `${name} ${order}`;
    return this.#declare(emitter, `w:${key}`, shape, {
      rearranged: true,
      external: this.#own(key, () => tapRows(widen(weight), [o, c, kh * kw], order)),
    });
  }

  /** Finishes the file of widened and rearranged weights. */
  close(): void {
    if (this.#file) closeSync(this.#file.fd);
    this.#file = undefined;
  }

  #find(name: string, shape?: Shape): Weight {
    const weight = this.#weights.get(name);
    if (!weight) throw new UserError(`the base model has no tensor ${name}`);
    if (shape && sizeOf(weight.shape) !== sizeOf(shape))
      throw new UserError(
        `${name} is ${showShape(weight.shape)} in the base model, the network needs ${showShape(shape)}`,
      );
    return weight;
  }

  #declare(
    emitter: Emitter,
    name: Name,
    shape: Shape,
    place: { rearranged?: boolean; external: Place },
  ): Name {
    if (!emitter.initializers.some((i) => i.name === name))
      emitter.initializers.push({ name, type: 'f32', shape, ...place });
    return name;
  }

  /** Where in the folder's own file the values under `key` lie; they are written when first asked for. */
  #own(key: string, values: () => Float32Array): Place {
    const known = this.#places.get(key);
    if (known) return known;
    this.#file ??= { fd: openSync(join(this.#folder, OWN), 'wx'), length: 0 };
    const { buffer, byteOffset, byteLength } = values();
    const place = { location: OWN, offset: this.#file.length, length: byteLength };
    // Mapped at multiples of 64 bytes, as kernels like them.
    const padding = (64 - (byteLength % 64)) % 64;
    writeWhole(this.#file.fd, new Uint8Array(buffer, byteOffset, byteLength), this.#folder);
    writeWhole(this.#file.fd, new Uint8Array(padding), this.#folder);
    this.#file.length += byteLength + padding;
    this.#places.set(key, place);
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

/** [O,C,taps] as rows of one number a channel: [taps C, O], or, taps in reverse, [taps O, C]. */
function tapRows(
  kernel: Float32Array,
  [o, c, taps]: readonly [number, number, number],
  order: TapOrder,
): Float32Array {
  const rows = new Float32Array(kernel.length);
  let from = 0;
  for (let out = 0; out < o; out++)
    for (let channel = 0; channel < c; channel++)
      for (let tap = 0; tap < taps; tap++) {
        const row = order === 'forward' ? tap * c + channel : (taps - 1 - tap) * o + out;
        rows[order === 'forward' ? row * o + out : row * c + channel] = kernel[from++]!;
      }
  return rows;
}

function writeWhole(fd: number, bytes: Uint8Array, folder: string): void {
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT' && code !== 'EFBIG') throw error;
    throw new UserError(
      `no room in ${folder} for the widened weights (${code}); free some, or set TMPDIR to a folder with more`,
    );
  }
}
