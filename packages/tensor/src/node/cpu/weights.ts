/** @file Frozen weights as constants of a model: mapped out of the files that hold them, not read. */
import { accessSync, constants, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { parse, resolve, sep } from 'node:path';
import { internal, UserError } from '../../errors.ts';
import { type Shape, sizeOf } from '../../graph/types.ts';
import { widen } from '../../host/fromWeight.ts';
import type { Weight } from '../../weight.ts';
import type { Emitter, Name } from './emit.ts';
import { megabytes } from './failures.ts';
import type { KernelOrder, Size4, WeightSource } from './lowering.ts';
import { isRightOperand, rearrange, rearrangedShape } from './rearrange.ts';
import { type Place, ScratchFile } from './scratchFile.ts';

/** '/', or a drive. */
const driveOf = (path: string): string => parse(resolve(path)).root;

/**
 * Declares weights in a model. f32 weights that lie in a file are mapped from it where they lie; all others are widened to f32 into a temporary file, which is mapped too.
 * What can be neither (no room on the disk, another drive) is kept in memory and becomes an input of the model.
 */
export class MappedWeights implements WeightSource {
  /** The folder from which ONNX Runtime may map files: the root of everything, on Windows of the drive that holds most of the weights. */
  readonly root: string;
  /** Weights in memory, by the names of the inputs that they are given as at each run. */
  readonly held = new Map<Name, SharedArrayBuffer>();
  readonly #weights: ReadonlyMap<string, Weight>;
  readonly #notice: (message: string) => void;
  readonly #driveOf: (path: string) => string;
  readonly #places = new Map<string, Place | SharedArrayBuffer>();
  /** Of rearranged copies. */
  readonly #copies = new Map<string, Place>();
  readonly #sizes = new Map<string, number>();
  readonly #scratch = new ScratchFile();

  /**
   * @param weights all that the model will ask for
   * @param notice told what the person should know
   */
  constructor(
    weights: ReadonlyMap<string, Weight>,
    notice: (message: string) => void,
    drive = driveOf,
  ) {
    this.#weights = weights;
    this.#notice = notice;
    this.#driveOf = drive;
    const bytes = new Map([[drive(tmpdir()), 0]]);
    for (const weight of weights.values()) {
      const file = mapped(weight);
      if (!file) continue;
      const on = drive(file.path);
      bytes.set(on, (bytes.get(on) ?? 0) + file.length);
    }
    this.root = [...bytes].reduce((most, one) => (one[1] > most[1] ? one : most))[0];
  }

  /** Throws UserError if the weight cannot be read. */
  weight(emitter: Emitter, name: string, shape: Shape): Name {
    const declared = `w:${name}:${shape.join('x')}`;
    const value = { name: declared, type: 'f32', shape } as const;
    const place = this.#placeOf(name);
    if (place instanceof SharedArrayBuffer) {
      this.held.set(declared, place);
      emitter.declareInput(value);
    } else emitter.declare({ ...value, external: this.#external(place) });
    return declared;
  }

  rows(emitter: Emitter, name: string, shape: Shape, from: number, count: number): Name {
    const place = this.#placeOf(name);
    if (place instanceof SharedArrayBuffer)
      return emitter.slice(this.weight(emitter, name, shape), [0], [from], [from + count]);
    const { path, offset } = place;
    const part = [count, ...shape.slice(1)];
    const declared = `w:${name}:${part.join('x')} from ${from}`;
    const bytes = 4 * sizeOf(shape.slice(1));
    const external = this.#external({ path, offset: offset + from * bytes, length: count * bytes });
    emitter.declare({ name: declared, type: 'f32', shape: part, external });
    return declared;
  }

  rearranged(emitter: Emitter, name: string, order: KernelOrder): Name | undefined {
    const weight = this.#find(name);
    const kernel = weight.shape as unknown as Size4;
    const key = `${name} ${order}`;
    const place =
      this.#copies.get(key) ?? this.#write(rearrange(this.#read(name, weight), kernel, order));
    if (!place) return undefined;
    this.#copies.set(key, place);
    emitter.declare({
      name: `w:${key}`,
      type: 'f32',
      shape: rearrangedShape(kernel, order),
      rearranged: isRightOperand(order),
      external: this.#external(place),
    });
    return `w:${key}`;
  }

  /** Says what had to be kept in memory. */
  report(): void {
    const bytes = [...new Set(this.held.values())].reduce((sum, b) => sum + b.byteLength, 0);
    if (bytes > 0)
      this.#notice(
        `${megabytes(bytes)} of weights are kept in memory: they cannot be mapped from where they lie, and ${tmpdir()} has no room for them; free some, or set TMPDIR to a folder with more`,
      );
  }

  /** Removes the temporary file, if there is one; what is mapped stays mapped. */
  remove(): void {
    this.#scratch.remove();
  }

  #external({ path, offset, length }: Place) {
    const location = resolve(path).slice(this.root.length).split(sep).join('/');
    return { location, offset, length };
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
    const place = this.#map(name, weight) ?? this.#keep(this.#read(name, weight));
    this.#places.set(name, place);
    return place;
  }

  /** Throws UserError if the file is shorter than the weight's place in it. */
  #map(name: string, weight: Weight): Place | undefined {
    const file = mapped(weight);
    if (!file || this.#driveOf(file.path) !== this.root) return undefined;
    const { path, offset, length } = file;
    const bytes = 4 * sizeOf(weight.shape);
    if (length !== bytes)
      throw new UserError(
        `${name} takes ${length} bytes in ${path}; [${weight.shape}] needs ${bytes}`,
      );
    const size = this.#sizes.get(path) ?? readableBytes(path);
    this.#sizes.set(path, size);
    if (offset + length > size)
      throw new UserError(
        `${path} has ${size} bytes, and ${name} would end at ${offset + length}: the file is cut short; fetch it again`,
      );
    return file;
  }

  /** On the disk, or where that has no room, in memory. */
  #keep(values: Float32Array): Place | SharedArrayBuffer {
    const written = this.#write(values);
    if (written) return written;
    const shared = new SharedArrayBuffer(values.byteLength);
    new Float32Array(shared).set(values);
    return shared;
  }

  #write({ buffer, byteOffset, byteLength }: Float32Array): Place | undefined {
    return this.#driveOf(tmpdir()) === this.root
      ? this.#scratch.append(new Uint8Array(buffer, byteOffset, byteLength))
      : undefined;
  }
}

/** The file of a weight whose bytes can be used as they lie there. */
const mapped = ({ dtype, file }: Weight) =>
  dtype === 'f32' && file && file.offset % 4 === 0 ? file : undefined;

/** Throws UserError if there is no such file, or one that may not be read. */
function readableBytes(path: string): number {
  try {
    accessSync(path, constants.R_OK);
    return statSync(path).size;
  } catch (error) {
    throw new UserError(
      `the weights in ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)}); was the file moved or deleted?`,
    );
  }
}
