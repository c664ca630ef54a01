import type { Weight } from '@sdft/tensor';

/**
 * What a Python file can hold, as plain values: None is null, int a number (a bigint where it is too large), list an array,
 * dict a Map, set a Set, bytes a Uint8Array, a torch tensor a Weight. Everything else is an Inert.
 */
export type PythonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Weight
  | Inert
  | Float
  | PythonValue[]
  | Tuple
  | Map<PythonValue, PythonValue>
  | Set<PythonValue>;

/** A Python tuple: an array that is written as a tuple. Made with `Tuple.of(a, b)`. */
export class Tuple extends Array<PythonValue> {}

/** A Python OrderedDict: a Map that is written as one. */
export class OrderedDict extends Map<PythonValue, PythonValue> {
  /** What PyTorch hangs onto a state dict: its `_metadata`. */
  state: PythonValue = null;
}

/** A Python float for the writer, which cannot tell 1.0 from 1. The reader gives plain numbers. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/**
 * Something in a Python file that only Python could make: a class, a function, the result of calling one. It is kept as a
 * description; nothing is ever called.
 */
export class Inert {
  /** Dotted name of the class or function. */
  readonly name: string;
  /** Arguments of the call that would have made it; undefined for the class or function itself. */
  readonly args: PythonValue | undefined;
  /** What was to be set on it afterwards. */
  state: PythonValue = null;
  /** What was to be appended to it and set in it, where it is a kind of list or dict. */
  readonly items: PythonValue[] = [];
  readonly entries = new Map<PythonValue, PythonValue>();

  constructor(name: string, args?: PythonValue) {
    this.name = name;
    this.args = args;
  }

  /** `a.b.C` or `a.b.f(...)`. */
  toString(): string {
    return this.args === undefined ? this.name : `${this.name}(...)`;
  }
}

/**
 * A key of a dict as a part of a name. Not `String(key)`: a tuple of tuples of tuples, each twice, is short in a file and endless in words.
 */
export function keyText(key: PythonValue): string {
  if (typeof key === 'string') return key.slice(0, 1000);
  if (key === null || ['number', 'bigint', 'boolean'].includes(typeof key))
    return String(key as number);
  if (key instanceof Inert) return key.name.slice(0, 1000);
  return key instanceof Tuple ? '(tuple)' : '(object)';
}

/** Whether a value read from a file is a tensor. */
export function isWeight(value: unknown): value is Weight {
  return (
    typeof value === 'object' &&
    value !== null &&
    'dtype' in value &&
    'shape' in value &&
    'read' in value
  );
}
