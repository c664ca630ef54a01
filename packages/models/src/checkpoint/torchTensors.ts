import { type StorageType, UserError, type Weight } from '@sdft/tensor';
import { type ByteSource, weightIn } from './byteSource.ts';
import type { PickleContext } from './pickle.ts';
import { Inert, isWeight, keyText, type PythonValue, Tuple } from './pythonValue.ts';
import { elementCount, elementSize, showShape } from './storageType.ts';

/** Where the raw bytes of a storage lie. */
export interface StoragePlace {
  readonly source: ByteSource;
  readonly offset: number;
  readonly length: number;
}

const storageClasses: Readonly<Record<string, StorageType>> = {
  FloatStorage: 'f32',
  HalfStorage: 'f16',
  BFloat16Storage: 'bf16',
  DoubleStorage: 'f64',
  LongStorage: 'i64',
  IntStorage: 'i32',
  ShortStorage: 'i16',
  CharStorage: 'i8',
  ByteStorage: 'u8',
  BoolStorage: 'bool',
};
const dtypes: Readonly<Record<string, StorageType>> = {
  'torch.float32': 'f32',
  'torch.float16': 'f16',
  'torch.bfloat16': 'bf16',
  'torch.float64': 'f64',
  'torch.int64': 'i64',
  'torch.int32': 'i32',
  'torch.int16': 'i16',
  'torch.int8': 'i8',
  'torch.uint8': 'u8',
  'torch.bool': 'bool',
};

/** A tensor whose rows lie apart, or repeat, may have this many elements more than its storage: enough for every broadcast bias. */
const maxRepeated = 2 ** 24;

/** A storage inside the pickle: bytes that tensors point into. It never leaves this file as a value that others meet. */
class Storage extends Inert {
  readonly dtype: StorageType | undefined;
  readonly key: string;
  readonly elements: number;
  readonly start: number;

  constructor(
    className: string,
    dtype: StorageType | undefined,
    key: string,
    elements: number,
    start: number,
  ) {
    super(className, Tuple.of(key));
    this.dtype = dtype;
    this.key = key;
    this.elements = elements;
    this.start = start;
  }
}

/** A storage that a pickle refers to. */
export interface StorageUse {
  readonly key: string;
  readonly dtype: StorageType;
  readonly elements: number;
}

/**
 * Makes tensors of what PyTorch pickles: a persistent id names a storage, a call of `_rebuild_tensor_v2` a view of it. A tensor that is
 * contiguous points into the file; any other is gathered when it is read.
 *
 * @param place finds the bytes of a storage
 * @param used hears of every storage
 */
export function torchContext(
  where: string,
  place: (key: string) => StoragePlace,
  used: (storage: StorageUse) => void = () => undefined,
): Required<Pick<PickleContext, 'persistent' | 'call'>> {
  const broken = (why: string): UserError =>
    new UserError(`${where}: not a whole PyTorch file: ${why}`);

  const tensor = (args: readonly PythonValue[], dtype?: StorageType): PythonValue | undefined => {
    const [storage, offset, size, stride] = args;
    if (!(storage instanceof Storage)) throw broken('a tensor without a storage');
    const type = dtype ?? storage.dtype;
    if (!type) return undefined;
    if (
      !isIndex(offset) ||
      !isIndices(size) ||
      !isIndices(stride) ||
      size.length !== stride.length ||
      size.length > 64
    ) {
      throw broken(`a tensor in storage ${storage.key} has no proper size, stride and offset`);
    }
    return view(where, storage, type, place, offset, [...size], [...stride]);
  };

  return {
    persistent(id) {
      const [kind, storageClass, key = null, , elements, part] = Array.isArray(id) ? id : [];
      // The legacy format wraps classes together with their source text, which is of no interest here.
      if (kind === 'module' && storageClass instanceof Inert) return storageClass;
      if (kind !== 'storage' || !(storageClass instanceof Inert) || !isIndex(elements))
        throw broken('it refers to data that is no storage');
      const name = storageClass.name.slice(storageClass.name.lastIndexOf('.') + 1);
      const untyped = name === 'UntypedStorage';
      const dtype = storageClasses[name];
      if (!dtype && !untyped)
        throw new UserError(
          `${where}: a tensor is stored as ${storageClass.name}, which is not supported; convert the file to float16 or float32`,
        );
      const start = Array.isArray(part) && isIndex(part[1]) ? part[1] : 0;
      used({ key: keyText(key), dtype: dtype ?? 'u8', elements });
      return new Storage(storageClass.name, dtype, keyText(key), elements, start);
    },
    call(name, args) {
      const [first, , third] = args;
      switch (name) {
        case 'torch._utils._rebuild_tensor':
        case 'torch._utils._rebuild_tensor_v2':
          return tensor(args);
        case 'torch._utils._rebuild_tensor_v3': {
          const dtype = args[6] instanceof Inert ? dtypes[args[6].name] : undefined;
          return dtype ? tensor(args, dtype) : undefined;
        }
        case 'torch._utils._rebuild_parameter':
        case 'torch._utils._rebuild_parameter_with_state':
          return isWeight(first) ? first : undefined;
        case 'torch._tensor._rebuild_from_type_v2':
          // (function, class, its arguments, state): a tensor whose class is a subclass, such as Parameter.
          return first instanceof Inert &&
            first.name.startsWith('torch._utils._rebuild_') &&
            third instanceof Tuple
            ? this.call(first.name, third)
            : undefined;
        default:
          return undefined;
      }
    },
  };
}

function isIndex(value: PythonValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isIndices(value: PythonValue | undefined): value is number[] {
  return Array.isArray(value) && value.every(isIndex);
}

function view(
  where: string,
  storage: Storage,
  dtype: StorageType,
  place: (key: string) => StoragePlace,
  offset: number,
  shape: number[],
  stride: number[],
): Weight {
  const bad = (why: string): UserError =>
    new UserError(
      `${where}: not a whole PyTorch file: a tensor ${showShape(shape)} in storage ${storage.key} ${why}`,
    );
  const size = elementSize[dtype];
  const { source, offset: start, length } = place(storage.key);
  const held = storage.elements * (storage.dtype ? elementSize[storage.dtype] : 1);
  if (held > length) throw bad(`needs ${held} bytes of it, the file holds ${length}`);
  const first = storage.start + offset;
  const count = elementCount(shape);
  const last =
    count === 0 ? first : first + shape.reduce((sum, n, i) => sum + (n - 1) * stride[i]!, 0) + 1;
  if (!(last * size <= length)) throw bad(`reaches to byte ${last * size} of ${length}`);
  if (isContiguous(shape, stride)) return weightIn(source, dtype, shape, start + first * size);
  if (!(count <= length / size + maxRepeated))
    throw bad('repeats its numbers beyond all use (stride 0)');
  return Object.freeze({
    dtype,
    shape: Object.freeze(shape),
    read: () =>
      gather(source.read(start + first * size, (last - first) * size), size, shape, stride),
  });
}

/** Whether elements follow each other row by row. Axes of length 1 may have any stride. */
function isContiguous(shape: readonly number[], stride: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] === 1) continue;
    if (stride[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** Copies a strided view into row-major order. */
function gather(
  bytes: Uint8Array,
  size: number,
  shape: readonly number[],
  stride: readonly number[],
): Uint8Array {
  const count = elementCount(shape);
  const out = new Uint8Array(count * size);
  const index = shape.map(() => 0);
  let from = 0;
  for (let element = 0; element < count; element++) {
    for (let byte = 0; byte < size; byte++) out[element * size + byte] = bytes[from * size + byte]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += stride[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= stride[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}
