/** @file Frozen weights as constants of a model: mapped out of the files that hold them, not read. */
import { closeSync, ftruncateSync, openSync, statSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { internal, UserError } from '../../errors.ts';
import { type Shape, sizeOf } from '../../graph/types.ts';
import { widen } from '../../host/fromWeight.ts';
import type { Weight } from '../../weight.ts';
import type { Emitter, Name } from './emit.ts';
import { megabytes, noSpace } from './failures.ts';
import type { TapOrder, WeightSource } from './lowering.ts';
import { hasRoom, ModelFolder } from './modelFolder.ts';

/** Bytes of a file beside the model. */
interface Place {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}
const OWN = 'own.bin';

/** The file of a weight whose bytes can be used as they lie there. */
const mapped = ({ dtype, file }: Weight) =>
  dtype === 'f32' && file && file.offset % 4 === 0 ? file : undefined;

/**
 * Declares weights in models that lie in `folder`. f32 weights that lie in a file are mapped from it; all others are widened to f32 into a file of the folder's own, which is mapped too.
 * What finds no room on the disk is kept in memory and becomes an input of the model.
 */
export class WeightFiles implements WeightSource {
  readonly folder: ModelFolder;
  /** Weights in memory, by the names of the inputs that they are given as at each run. */
  readonly held = new Map<Name, SharedArrayBuffer>();
  readonly #weights: ReadonlyMap<string, Weight>;
  readonly #notice: (message: string) => void;
  readonly #room: (folder: string, bytes: number) => boolean;
  readonly #places = new Map<string, Place | SharedArrayBuffer>();
  #file: { fd: number; length: number } | undefined;

  /**
   * @param weights all that models will ask for
   * @param notice told what the person should know
   * @param room whether so many bytes fit into a folder
   */
  constructor(
    weights: ReadonlyMap<string, Weight>,
    notice: (message: string) => void,
    room = hasRoom,
  ) {
    this.#weights = weights;
    this.#notice = notice;
    this.#room = room;
    const files = new Set([...weights.values()].flatMap((w) => mapped(w)?.path ?? []));
    this.folder = ModelFolder.make([...files], notice, room);
  }

  /** Throws UserError if the weight cannot be read. */
  weight(emitter: Emitter, name: string, shape: Shape): Name {
    const declared = `w:${name}:${shape.join('x')}`;
    const value = { name: declared, type: 'f32', shape } as const;
    const place = this.#placeOf(name);
    if (place instanceof SharedArrayBuffer) {
      this.held.set(declared, place);
      emitter.declareInput(value);
    } else emitter.declare({ ...value, external: place });
    return declared;
  }

  tapRows(emitter: Emitter, name: string, order: TapOrder): Name | undefined {
    const weight = this.#find(name);
    const [o, c, kh, kw] = weight.shape as [number, number, number, number];
    const key = `${name} ${order}`;
    const place =
      this.#places.get(key) ??
      this.#write(key, () => tapRows(this.#read(name, weight), [o, c, kh * kw], order));
    if (!place || place instanceof SharedArrayBuffer) return undefined;
    const shape = order === 'forward' ? [kh * kw * c, o] : [kh * kw * o, c];
    emitter.declare({ name: `w:${key}`, type: 'f32', shape, rearranged: true, external: place });
    return `w:${key}`;
  }

  /** Finishes the file of widened and rearranged weights. */
  close(): void {
    if (this.#file) closeSync(this.#file.fd);
    this.#file = undefined;
    const bytes = [...new Set(this.held.values())].reduce((sum, b) => sum + b.byteLength, 0);
    if (bytes > 0)
      this.#notice(
        `${dirname(this.folder.path)} has no room for ${megabytes(bytes)} of weights, which are kept in memory instead; free some, or set TMPDIR to a folder with more`,
      );
  }

  #find(name: string): Weight {
    const weight = this.#weights.get(name);
    if (!weight) throw internal(`no weight ${name}`);
    return weight;
  }

  #read(name: string, weight: Weight): Float32Array {
    try {
      return widen(weight);
    } catch (error) {
      if (error instanceof UserError) throw new UserError(`${name}: ${error.message}`);
      throw error;
    }
  }

  #placeOf(name: string): Place | SharedArrayBuffer {
    const known = this.#places.get(name);
    if (known) return known;
    const weight = this.#find(name);
    const place =
      this.#map(name, weight) ??
      (mapped(weight) ? undefined : this.#write(name, () => this.#read(name, weight))) ??
      this.#hold(name, weight);
    this.#places.set(name, place);
    return place;
  }

  /** Throws UserError if the file is shorter than the weight's place in it. */
  #map(name: string, weight: Weight): Place | undefined {
    const file = mapped(weight);
    if (!file) return undefined;
    const { path, offset, length } = file;
    const bytes = 4 * sizeOf(weight.shape);
    if (length !== bytes)
      throw new UserError(
        `${name} takes ${length} bytes in ${path}; [${weight.shape}] needs ${bytes}`,
      );
    const location = this.folder.nameOf(path);
    if (location === undefined) return undefined;
    const { size } = statSync(join(this.folder.path, location));
    if (offset + length > size)
      throw new UserError(
        `${path} has ${size} bytes, and ${name} would end at ${offset + length}: the file is cut short; fetch it again`,
      );
    return { location, offset, length };
  }

  /** Appends values to the folder's own file; undefined if there is no room. */
  #write(key: string, values: () => Float32Array): Place | undefined {
    this.#file ??= { fd: openSync(join(this.folder.path, OWN), 'wx'), length: 0 };
    const { buffer, byteOffset, byteLength } = values();
    const { fd, length: offset } = this.#file;
    if (!this.#room(this.folder.path, byteLength)) return undefined;
    try {
      const bytes = new Uint8Array(buffer, byteOffset, byteLength);
      for (let done = 0; done < byteLength; )
        done += writeSync(fd, bytes, done, byteLength - done, offset + done);
    } catch (error) {
      if (!noSpace(error, this.folder.path)) throw error;
      ftruncateSync(fd, offset);
      return undefined;
    }
    // The next begins at a multiple of 64 bytes, as kernels like it.
    this.#file.length += Math.ceil(byteLength / 64) * 64;
    const place = { location: OWN, offset, length: byteLength };
    this.#places.set(key, place);
    return place;
  }

  #hold(name: string, weight: Weight): SharedArrayBuffer {
    const shared = new SharedArrayBuffer(4 * sizeOf(weight.shape));
    new Float32Array(shared).set(this.#read(name, weight));
    return shared;
  }
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
