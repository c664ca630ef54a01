import { UserError } from '@sdft/tensor';
import type { ByteSource } from './byteSource.ts';
import { PickleBytes } from './pickleBytes.ts';
import { decimal, latin1, plain, unescape, unquote, utf8 } from './pickleText.ts';
import { Inert, OrderedDict, type PythonValue, Tuple } from './pythonValue.ts';
import { callKnown } from './pythonCalls.ts';
import { isRefused } from './refusedGlobals.ts';

/** A pickle that names a function which runs programs or code: an attack on whoever opens it with Python. */
export class RefusedPickle extends UserError {
  constructor(where: string, name: string) {
    super(
      `${where}: refused. It names ${name}, which a Python program that opens this file would run. Nothing was run here. A model has no use for it: delete the file, and get the model as .safetensors from somebody you trust`,
    );
  }
}

/** What a pickle may refer to outside of itself. */
export interface PickleContext {
  /** Turns a persistent id into a value. Without it such an id is refused. */
  persistent?(id: PythonValue): PythonValue;
  /** Stands in for a call of a known function; undefined leaves the call inert. */
  call?(name: string, args: readonly PythonValue[]): PythonValue | undefined;
  /** Hears of every class and function that the pickle names. */
  named?(name: string): void;
}

/** Bounds against files made to exhaust memory. A checkpoint of 967 tensors takes 0.14 MB and 8,000 objects; averages and optimizer make it five times as many. */
const limits = { bytes: 64 * 2 ** 20, objects: 1_000_000, stack: 2_000_000, integer: 1024 };

/**
 * Reads one pickle, protocols 0 to 5, without executing anything: classes and functions are names, calls are descriptions
 * (`Inert`), except for a few known harmless ones, which are stood in for.
 *
 * @param start place of its first byte
 * @param length bytes that it may have at most
 * @returns the value, and the place after its last byte
 * @throws UserError where the pickle is malformed, unreasonably large, or names a function that runs programs or code
 */
export function readPickle(
  source: ByteSource,
  start: number,
  length: number,
  context: PickleContext = {},
): { value: PythonValue; end: number } {
  const broken = (why: string): UserError =>
    new UserError(`${source.name}: the pickle in it is broken: ${why}`);
  const input = new PickleBytes(source, start, Math.min(length, limits.bytes), broken);
  const machine = new PickleMachine(input, context, source.name, broken);
  return { value: machine.run(), end: input.at };
}

/** Opcodes by the letter or byte that Python's `pickle.py` gives them. */
class PickleMachine {
  readonly #input: PickleBytes;
  readonly #context: PickleContext;
  readonly #where: string;
  readonly #broken: (why: string) => UserError;
  readonly #stack: PythonValue[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PythonValue>();
  #objects = 0;

  constructor(
    input: PickleBytes,
    context: PickleContext,
    where: string,
    broken: (why: string) => UserError,
  ) {
    this.#input = input;
    this.#context = context;
    this.#where = where;
    this.#broken = broken;
  }

  run(): PythonValue {
    for (;;) {
      const opcode = this.#input.byte();
      if (opcode === 0x2e) return this.#pop();
      if (
        !this.#text(opcode) &&
        !this.#number(opcode) &&
        !this.#container(opcode) &&
        !this.#object(opcode)
      ) {
        throw this.#broken(
          `opcode 0x${opcode.toString(16)} at byte ${this.#input.at - 1} is unknown`,
        );
      }
      if (this.#stack.length > limits.stack)
        throw this.#broken(`more than ${limits.stack} values wait to be used`);
    }
  }

  /** Strings and bytes. */
  #text(opcode: number): boolean {
    const input = this.#input;
    switch (opcode) {
      case 0x58: // BINUNICODE
        return this.#push(utf8(input.bytes(input.unsigned(4))));
      case 0x8c: // SHORT_BINUNICODE
        return this.#push(utf8(input.bytes(input.byte())));
      case 0x8d: // BINUNICODE8
        return this.#push(utf8(input.bytes(input.unsigned(8))));
      case 0x56: // UNICODE
        return this.#push(unescape(input.line(latin1)));
      case 0x53: // STRING
        return this.#push(unquote(input.line(latin1), this.#broken));
      case 0x54: // BINSTRING
        return this.#push(latin1(input.bytes(input.unsigned(4))));
      case 0x55: // SHORT_BINSTRING
        return this.#push(latin1(input.bytes(input.byte())));
      case 0x42: // BINBYTES
        return this.#new(new Uint8Array(input.bytes(input.unsigned(4))));
      case 0x43: // SHORT_BINBYTES
        return this.#new(new Uint8Array(input.bytes(input.byte())));
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        return this.#new(new Uint8Array(input.bytes(input.unsigned(8))));
      default:
        return false;
    }
  }

  #number(opcode: number): boolean {
    const input = this.#input;
    switch (opcode) {
      case 0x4b: // BININT1
        return this.#push(input.byte());
      case 0x4d: // BININT2
        return this.#push(input.unsigned(2));
      case 0x4a: // BININT
        return this.#push(input.view(4).getInt32(0, true));
      case 0x8a: // LONG1
        return this.#push(this.#integer(input.byte()));
      case 0x8b: // LONG4
        return this.#push(this.#integer(input.unsigned(4)));
      case 0x47: // BINFLOAT, the one big-endian number
        return this.#push(input.view(8).getFloat64(0, false));
      case 0x49: // INT
      case 0x4c: // LONG
        return this.#push(decimal(input.line(), this.#broken));
      case 0x46: // FLOAT
        return this.#push(Number(input.line().replace(/^([+-]?)inf$/, '$1Infinity')));
      case 0x4e: // NONE
        return this.#push(null);
      case 0x88: // NEWTRUE
        return this.#push(true);
      case 0x89: // NEWFALSE
        return this.#push(false);
      default:
        return false;
    }
  }

  #container(opcode: number): boolean {
    switch (opcode) {
      case 0x28: // MARK
        if (this.#marks.push(this.#stack.length) > limits.stack)
          throw this.#broken(`it holds more than ${limits.stack} marks`);
        return true;
      case 0x29: // EMPTY_TUPLE
        return this.#new(new Tuple());
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return this.#new(tupleOf(this.#popMany(opcode - 0x84)));
      case 0x74: // TUPLE
        return this.#new(tupleOf(this.#popToMark()));
      case 0x5d: // EMPTY_LIST
        return this.#new([]);
      case 0x6c: // LIST
        return this.#new(this.#popToMark());
      case 0x61: // APPEND
        return this.#append(this.#popMany(1));
      case 0x65: // APPENDS
      case 0x90: // ADDITEMS
        return this.#append(this.#popToMark());
      case 0x7d: // EMPTY_DICT
        return this.#new(new Map<PythonValue, PythonValue>());
      case 0x64: {
        // DICT
        const items = this.#popToMark();
        return this.#new(new Map<PythonValue, PythonValue>()) && this.#setItems(items);
      }
      case 0x73: // SETITEM
        return this.#setItems(this.#popMany(2));
      case 0x75: // SETITEMS
        return this.#setItems(this.#popToMark());
      case 0x8f: // EMPTY_SET
        return this.#new(new Set<PythonValue>());
      case 0x91: // FROZENSET
        return this.#new(new Set(this.#popToMark()));
      default:
        return false;
    }
  }

  /** Classes, calls, the memo, and the rest. */
  #object(opcode: number): boolean {
    const input = this.#input;
    switch (opcode) {
      case 0x80: {
        // PROTO
        const protocol = input.byte();
        if (protocol > 5) throw this.#broken(`protocol ${protocol} is unknown`);
        return true;
      }
      case 0x95: // FRAME
        input.bytes(8);
        return true;
      case 0x30: // POP: what MARK left counts as a value
        if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
        else this.#pop();
        return true;
      case 0x31: // POP_MARK
        this.#popToMark();
        return true;
      case 0x32: // DUP
        return this.#push(this.#top());
      case 0x70: // PUT
        return this.#put(Number(input.line()));
      case 0x71: // BINPUT
        return this.#put(input.byte());
      case 0x72: // LONG_BINPUT
        return this.#put(input.unsigned(4));
      case 0x94: // MEMOIZE
        return this.#put(this.#memo.size);
      case 0x67: // GET
        return this.#get(Number(input.line()));
      case 0x68: // BINGET
        return this.#get(input.byte());
      case 0x6a: // LONG_BINGET
        return this.#get(input.unsigned(4));
      case 0x63: // GLOBAL
        return this.#global(input.line(), input.line());
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = this.#popMany(2);
        if (typeof module !== 'string' || typeof name !== 'string')
          throw this.#broken('a class is named by something else than two texts');
        return this.#global(module, name);
      }
      case 0x52: // REDUCE
      case 0x81: {
        // NEWOBJ
        const [callee, args] = this.#popMany(2);
        return this.#call(callee!, args!);
      }
      case 0x92: {
        // NEWOBJ_EX
        const [callee, args] = this.#popMany(3);
        return this.#call(callee!, args!);
      }
      case 0x6f: {
        // OBJ
        const [callee = null, ...args] = this.#popToMark();
        return this.#call(callee, tupleOf(args));
      }
      case 0x69: {
        // INST
        const args = this.#popToMark();
        this.#global(input.line(), input.line());
        return this.#call(this.#pop(), tupleOf(args));
      }
      case 0x62: {
        // BUILD
        const state = this.#pop();
        const target = this.#top();
        if (target instanceof Inert || target instanceof OrderedDict) target.state = state;
        return true;
      }
      case 0x51: // BINPERSID
        return this.#persistent(this.#pop());
      case 0x50: // PERSID
        return this.#persistent(input.line());
      default:
        return false;
    }
  }

  #push(value: PythonValue): true {
    this.#stack.push(value);
    return true;
  }

  /** Pushes a value that takes memory of its own. */
  #new(value: PythonValue): true {
    this.#count(1);
    return this.#push(value);
  }

  #count(objects: number): void {
    this.#objects += objects;
    if (this.#objects > limits.objects)
      throw this.#broken(`it holds more than ${limits.objects} objects`);
  }

  #top(): PythonValue {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0))
      throw this.#broken(`a value is missing at byte ${this.#input.at}`);
    return this.#stack.at(-1)!;
  }

  #pop(): PythonValue {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popMany(count: number): PythonValue[] {
    const from = this.#stack.length - count;
    if (from < (this.#marks.at(-1) ?? 0))
      throw this.#broken(`a value is missing at byte ${this.#input.at}`);
    return this.#stack.splice(from);
  }

  #popToMark(): PythonValue[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.#broken(`a mark is missing at byte ${this.#input.at}`);
    return this.#stack.splice(mark);
  }

  #append(values: readonly PythonValue[]): true {
    const target = this.#top();
    if (target instanceof Set) for (const value of values) target.add(value);
    else if (target instanceof Inert) for (const value of values) target.items.push(value);
    else if (Array.isArray(target) && !(target instanceof Tuple))
      for (const value of values) target.push(value);
    else throw this.#broken('it appends to something that is no list');
    return true;
  }

  #setItems(items: readonly PythonValue[]): true {
    const top = this.#top();
    const target = top instanceof Inert ? top.entries : top;
    if (!(target instanceof Map) || items.length % 2 !== 0)
      throw this.#broken('it sets items of something that is no dict');
    this.#count(items.length / 2);
    for (let i = 0; i < items.length; i += 2) target.set(items[i]!, items[i + 1]!);
    return true;
  }

  #put(index: number): true {
    if (!Number.isSafeInteger(index) || index < 0) throw this.#broken(`memo index ${index}`);
    if (this.#memo.size > limits.stack)
      throw this.#broken(`its memo holds more than ${limits.stack} values`);
    this.#memo.set(index, this.#top());
    return true;
  }

  #get(index: number): true {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#broken(`it refers to memo ${index}, which was never set`);
    return this.#push(value);
  }

  #global(module: string, name: string): true {
    const full = `${module}.${name}`;
    if (isRefused(module, name)) {
      throw new RefusedPickle(this.#where, full);
    }
    this.#context.named?.(full);
    return this.#new(new Inert(full));
  }

  #call(callee: PythonValue, args: PythonValue): true {
    if (!(callee instanceof Inert) || !(args instanceof Tuple))
      throw this.#broken('it calls something that is no function');
    const known =
      callee.args === undefined
        ? (this.#context.call?.(callee.name, args) ?? callKnown(callee.name, args))
        : undefined;
    // A call can make much out of little: what it returns counts by its size.
    if (known instanceof Map || known instanceof Set) this.#count(known.size);
    if (known instanceof Uint8Array) this.#count(known.length / 16);
    return this.#new(known ?? new Inert(callee.name, args));
  }

  #persistent(id: PythonValue): true {
    if (!this.#context.persistent) throw this.#broken('it refers to data outside of itself');
    return this.#push(this.#context.persistent(id));
  }

  #integer(length: number): number | bigint {
    if (length > limits.integer) throw this.#broken(`an integer of ${length} bytes`);
    const bytes = this.#input.bytes(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
    return plain(BigInt.asIntN(8 * length, value));
  }
}

function tupleOf(values: readonly PythonValue[]): Tuple {
  const tuple = new Tuple();
  for (const value of values) tuple.push(value);
  return tuple;
}
