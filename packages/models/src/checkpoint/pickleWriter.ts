import { internal, type StorageType, UserError, type Weight } from '@sdft/tensor';
import { Float, Inert, isWeight, OrderedDict, type PythonValue, Tuple } from './pythonValue.ts';
import { elementCount } from './storageType.ts';

const storageClass: Readonly<Record<StorageType, string>> = {
  f32: 'FloatStorage',
  f16: 'HalfStorage',
  bf16: 'BFloat16Storage',
  f64: 'DoubleStorage',
  i64: 'LongStorage',
  i32: 'IntStorage',
  i16: 'ShortStorage',
  i8: 'CharStorage',
  u8: 'ByteStorage',
  bool: 'BoolStorage',
};

/** A pickle, and the tensors whose bytes go beside it: the one with place n is storage `n`. */
export interface TorchPickle {
  readonly bytes: Uint8Array;
  readonly storages: readonly Weight[];
}

/**
 * Writes a value as `torch.save` does, in pickle protocol 2, with nothing that `torch.load(weights_only=True)` or A1111's reader would refuse.
 * A weight that occurs twice is one storage, as in PyTorch.
 *
 * @throws UserError for a value that has no counterpart: an Inert, a Uint8Array, a Set, a number that is not finite where an integer is meant
 */
export function pickleTorch(value: PythonValue): TorchPickle {
  const writer = new PickleWriter();
  writer.raw(0x80, 2);
  writer.value(value, 0);
  writer.raw(0x2e);
  return { bytes: writer.finish(), storages: [...writer.storages.keys()] };
}

class PickleWriter {
  readonly storages = new Map<Weight, number>();
  #bytes = new Uint8Array(4096);
  #length = 0;

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  raw(...bytes: readonly number[]): void {
    this.#append(Uint8Array.from(bytes));
  }

  value(value: PythonValue, depth: number): void {
    if (depth > 100)
      throw new UserError(
        'a value that contains itself, or is nested over 100 levels deep, cannot be saved for PyTorch',
      );
    if (value === null) this.raw(0x4e);
    else if (typeof value === 'boolean') this.raw(value ? 0x88 : 0x89);
    else if (typeof value === 'number' && Number.isSafeInteger(value)) this.#integer(value);
    else if (typeof value === 'number') this.#float(value);
    else if (typeof value === 'bigint') this.#long(value);
    else if (typeof value === 'string') this.#string(value);
    else if (value instanceof Float) this.#float(value.value);
    else if (value instanceof Tuple) this.#tuple(value, depth);
    else if (Array.isArray(value)) this.#list(value, depth);
    else if (value instanceof Map) this.#map(value, depth);
    else if (isWeight(value)) this.#tensor(value);
    else
      throw new UserError(
        `${value instanceof Inert ? value.name : value.constructor.name} cannot be saved for PyTorch`,
      );
  }

  #append(bytes: Uint8Array): void {
    if (this.#length + bytes.length > this.#bytes.length) {
      const larger = new Uint8Array(2 * (this.#length + bytes.length));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #scalar(opcode: number, size: number, set: (view: DataView) => void): void {
    const bytes = new Uint8Array(1 + size);
    bytes[0] = opcode;
    set(new DataView(bytes.buffer, 1));
    this.#append(bytes);
  }

  #integer(value: number): void {
    if (value >= 0 && value < 0x100) this.raw(0x4b, value);
    else if (value >= 0 && value < 0x10000) this.raw(0x4d, value & 0xff, value >> 8);
    else if (value === (value | 0)) this.#scalar(0x4a, 4, (view) => view.setInt32(0, value, true));
    else this.#long(BigInt(value));
  }

  #long(value: bigint): void {
    const bytes: number[] = [];
    let rest = value;
    do {
      bytes.push(Number(rest & 0xffn));
      rest >>= 8n;
    } while (!(rest === 0n && bytes.at(-1)! < 0x80) && !(rest === -1n && bytes.at(-1)! >= 0x80));
    if (bytes.length > 255)
      throw new UserError('an integer of more than 255 bytes cannot be saved for PyTorch');
    this.raw(0x8a, bytes.length, ...bytes);
  }

  #float(value: number): void {
    this.#scalar(0x47, 8, (view) => view.setFloat64(0, value, false));
  }

  #string(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.#scalar(0x58, 4, (view) => view.setUint32(0, bytes.length, true));
    this.#append(bytes);
  }

  #global(module: string, name: string): void {
    this.#append(new TextEncoder().encode(`c${module}\n${name}\n`));
  }

  #tuple(items: readonly PythonValue[], depth: number): void {
    if (items.length === 0) return this.raw(0x29);
    if (items.length > 3) this.raw(0x28);
    for (const item of items) this.value(item, depth + 1);
    this.raw(items.length > 3 ? 0x74 : 0x84 + items.length);
  }

  #list(items: readonly PythonValue[], depth: number): void {
    this.raw(0x5d);
    if (items.length === 0) return;
    this.raw(0x28);
    for (const item of items) this.value(item, depth + 1);
    this.raw(0x65);
  }

  #map(map: ReadonlyMap<PythonValue, PythonValue>, depth: number): void {
    const ordered = map instanceof OrderedDict;
    if (ordered) this.#emptyOrderedDict();
    else this.raw(0x7d);
    if (map.size > 0) {
      this.raw(0x28);
      for (const [key, value] of map) {
        this.value(key, depth + 1);
        this.value(value, depth + 1);
      }
      this.raw(0x75);
    }
    if (!ordered || map.state === null) return;
    this.value(map.state, depth + 1);
    this.raw(0x62);
  }

  #emptyOrderedDict(): void {
    this.#global('collections', 'OrderedDict');
    this.raw(0x29, 0x52);
  }

  /** A call of `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`. */
  #tensor(weight: Weight): void {
    const key = this.storages.get(weight) ?? this.storages.size;
    this.storages.set(weight, key);
    this.#global('torch._utils', '_rebuild_tensor_v2');
    this.raw(0x28, 0x28);
    this.#string('storage');
    this.#global('torch', storageClass[weight.dtype]);
    this.#string(String(key));
    this.#string('cpu');
    this.#integer(elementCount(weight.shape));
    this.raw(0x74, 0x51);
    this.#integer(0);
    this.#tuple(weight.shape, 0);
    this.#tuple(rowMajor(weight.shape), 0);
    this.raw(0x89);
    this.#emptyOrderedDict();
    this.raw(0x74, 0x52);
  }
}

function rowMajor(shape: readonly number[]): number[] {
  const stride: number[] = [];
  let step = 1;
  for (const size of shape.toReversed()) {
    stride.unshift(step);
    step *= Math.max(size, 1);
  }
  if (!Number.isSafeInteger(step)) throw internal(`a tensor of shape [${shape.join(',')}]`);
  return stride;
}
