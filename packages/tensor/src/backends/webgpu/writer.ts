/** @file One kernel as it is being written: the tensors that it is bound to, and the expressions of elements of graph nodes. */
import { type AnyNode, type NodeId, stridesOf } from '../../graph/types.ts';
import { Body } from './body.ts';
import { functionCode } from './functions.ts';
import type { Kernel, Storage, Target } from './kernel.ts';
import { affine, alongFour, keyOf, type Place } from './places.ts';
import {
  elementBytes,
  type Operand,
  type ProgramStep,
  type ProgramTensor,
  type TensorId,
  tensorBytes,
} from './program.ts';
import { spell, type Speller } from './spell.ts';
import { moves, viewOf } from './views.ts';

/** What a kernel is written from. */
export interface Source {
  readonly target: Target;
  node(id: NodeId): AnyNode;
  /** The tensor in which the elements of a node lie; undefined where it is computed by whoever reads it. */
  tensorOf(id: NodeId): TensorId | undefined;
  tensor(id: TensorId): ProgramTensor;
  /** The nodes in memory that the expression of a node reads. */
  leavesOf(id: NodeId): ReadonlySet<NodeId>;
  /** The number of the check of a row number, if it needs one, and the tensor of faults. */
  check(id: NodeId, rows: number): { readonly slot: number; readonly faults: TensorId } | undefined;
}

interface Bound {
  readonly name: string;
  readonly tensor: TensorId;
  access: 'read' | 'write' | 'update';
  /** Elements that are read and written at once. */
  readonly width: 1 | 4;
}
const components = ['x', 'y', 'z', 'w'] as const;

/** How loaded words are seen in expressions, and back. */
function fromStorage(word: string, { storage }: ProgramTensor, isBool: boolean): string {
  if (isBool) return `(${word} != 0u)`;
  return storage === 'f16' ? `f32(${word})` : word;
}
function toStorage(value: string, { storage }: ProgramTensor, isBool: boolean): string {
  if (isBool) return `select(0u, 1u, ${value})`;
  return storage === 'f16' ? `f16(${value})` : value;
}

export class Writer implements Speller {
  readonly body: Body;
  readonly #source: Source;
  readonly #bound = new Map<TensorId, Bound>();
  readonly #reads: { readonly tensor: TensorId; readonly at: string }[] = [];
  /** Nodes that this kernel computes itself although they are stored. */
  readonly #own: ReadonlySet<NodeId>;
  /** Values that stand for nodes at any place: the result of a reduction, for what is done to it. */
  readonly #given = new Map<NodeId, string>();
  /** Which of four elements is being spelled; undefined where a thread computes one. */
  #component: (typeof components)[number] | undefined;
  /** Some tensor does not lie by fours. */
  #uneven = false;
  /** What it computes. */
  readonly #computed = new Set<NodeId>();

  readonly #loader: ((tensor: TensorId, at: string) => string) | undefined;

  /** @param loader says how an element of a tensor is read, where that is not from a binding of this kernel */
  constructor(
    source: Source,
    own: Iterable<NodeId> = [],
    body = new Body(),
    loader?: (tensor: TensorId, at: string) => string,
  ) {
    this.#source = source;
    this.#own = new Set(own);
    this.body = body;
    this.#loader = loader;
  }

  node(id: NodeId): AnyNode {
    return this.#source.node(id);
  }

  /** From here on `id` is `value`, wherever it is asked for. */
  give(id: NodeId, value: string): void {
    this.#given.set(id, value);
  }

  /** Says that the kernel computes `id`, where it is not spelled as an expression. */
  computes(id: NodeId): void {
    this.#computed.add(id);
  }

  /** How many operations of the graph it computes. */
  get operations(): number {
    return this.#computed.size;
  }

  value(id: NodeId, place: Place): string {
    const given = this.#given.get(id);
    if (given !== undefined) return given;
    if (!this.#isLoaded(id)) {
      const seen = viewOf(
        (n) => this.node(n),
        id,
        (n) => this.#isLoaded(n),
      );
      if (seen.source !== id && this.#isLoaded(seen.source) && !this.#given.has(seen.source))
        return this.#load(seen.source, place, seen.view.strides, seen.view.offset);
      if (!moves.has(this.node(id).op)) this.computes(id);
      return this.body.remember(`${id}${this.#component ?? ''} ${keyOf(place)}`, () =>
        spell(id, place, this),
      );
    }
    return this.#load(id, place, stridesOf(place.map(({ length }) => length)));
  }

  /** Spells four elements, whose first has the number `i`, a multiple of four: `value` is called for each, at the place of the first. Undefined where a tensor does not lie so. */
  four(value: () => string): string[] | undefined {
    const all = components.map((component) => {
      this.#component = component;
      return value();
    });
    this.#component = undefined;
    return this.#uneven ? undefined : all;
  }

  /** Stores four elements from number `i` on; whether the tensor takes fours. */
  storeFour(tensor: TensorId, values: readonly string[], isBool = false): boolean {
    const described = this.#source.tensor(tensor);
    const bound = this.#byFunction(described) ? undefined : this.#bind(tensor, 'write', 4);
    if (bound?.width !== 4) return false;
    const words = values.map((value) => toStorage(value, described, isBool));
    this.body.line(`${bound.name}[i / 4u] = vec4<${described.storage}>(${words.join(', ')});`);
    return true;
  }

  checkRow(id: NodeId, index: string, rows: number): void {
    const check = this.#source.check(id, rows);
    if (!check) return;
    const faults = this.#bind(check.faults, 'update').name;
    this.body.block(`if (${index} < 0i || ${index} >= ${rows}i)`, () => {
      this.body.line(`${faults}[${2 * check.slot + 1}u] = bitcast<u32>(${index});`);
      this.body.line(`${faults}[${2 * check.slot}u] = 1u;`);
    });
  }

  /** An element of a tensor by its number, as it is computed with. */
  loadTensor(tensor: TensorId, at: string, isBool = false): string {
    if (this.#loader) return this.#loader(tensor, at);
    const { name } = this.#bind(tensor, 'read');
    this.#reads.push({ tensor, at });
    const described = this.#source.tensor(tensor);
    const word = this.#byFunction(described) ? `load_${name}(${at})` : `${name}[${at}]`;
    return this.body.bind(fromStorage(word, described, isBool));
  }

  storeTensor(tensor: TensorId, at: string, value: string, isBool = false): void {
    const { name } = this.#bind(tensor, 'write');
    const described = this.#source.tensor(tensor);
    const word = toStorage(value, described, isBool);
    this.body.line(
      this.#byFunction(described) ? `store_${name}(${at}, ${word});` : `${name}[${at}] = ${word};`,
    );
  }

  isBool(id: NodeId): boolean {
    return this.node(id).dtype === 'bool';
  }

  /** How many bindings the kernel has by now. */
  get bindings(): number {
    return [...this.#bound.keys()].reduce(
      (sum, tensor) => sum + this.#windows(this.#source.tensor(tensor)),
      0,
    );
  }

  /** Tensors that have been read at other numbers than `own`. */
  readElsewhere(own: string): Set<TensorId> {
    return new Set(this.#reads.filter(({ at }) => at !== own).map(({ tensor }) => tensor));
  }

  /** The step that does what has been written. `main`: what stands before and after it. */
  finish(kernel: {
    readonly name: string;
    readonly workgroup: readonly [number, number];
    readonly workgroups: readonly [number, number, number];
    readonly shared?: string;
    readonly flops: number;
    readonly path: string;
  }): ProgramStep {
    const { target } = this.#source;
    const operands: Operand[] = [];
    const declared: Kernel['operands'][number][] = [];
    const globals: string[] = [];
    let f16 = false;
    for (const { name, tensor, access, width } of this.#bound.values()) {
      const described = this.#source.tensor(tensor);
      const { storage } = described;
      f16 ||= storage === 'f16';
      const windows = this.#windows(described);
      const whole = tensorBytes(described);
      const each = this.#windowBytes();
      for (let w = 0; w < windows; w++) {
        const variable = windows > 1 ? `${name}_${w}` : name;
        globals.push(
          `@group(0) @binding(${operands.length}) var<storage, read_write> ${variable}: array<${width === 4 ? `vec4<${storage}>` : elementType(storage, access)}>;`,
        );
        operands.push({ tensor, from: w * each, bytes: Math.min(each, whole - w * each) });
        declared.push({ storage, access });
      }
      if (this.#byFunction(described))
        globals.push(...accessFunctions({ name, storage, access }, windows, each));
    }
    const code = [
      ...(f16 ? ['enable f16;'] : []),
      ...globals,
      kernel.shared ?? '',
      functionCode(this.body.functions),
      `@compute @workgroup_size(${kernel.workgroup[0]}, ${kernel.workgroup[1]})`,
      'fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_id) local: vec3u) {',
      this.body.code,
      '}',
    ]
      .filter((line) => line !== '')
      .join('\n');
    if (operands.length > target.bindings)
      throw new Error(
        `internal: ${kernel.name} needs ${operands.length} bindings of ${target.bindings}`,
      );
    return {
      kernel: {
        name: kernel.name,
        code,
        operands: declared,
        workgroups: kernel.workgroups,
        flops: kernel.flops,
        bytes: operands.reduce((sum, { bytes }) => sum + bytes, 0),
      },
      operands,
      path: kernel.path,
      operations: this.operations,
    };
  }

  #isLoaded(id: NodeId): boolean {
    return !this.#own.has(id) && this.#source.tensorOf(id) !== undefined;
  }

  #load(id: NodeId, place: Place, strides: readonly number[], offset = 0): string {
    const tensor = this.#source.tensorOf(id)!;
    const at = this.body.bind(affine(place, strides, offset).code);
    if (this.#component === undefined) return this.loadTensor(tensor, at, this.isBool(id));
    const described = this.#source.tensor(tensor);
    const lies = this.#byFunction(described) ? undefined : alongFour(place, strides, offset, 'i');
    const width = lies === 'four' ? 4 : 1;
    const bound = this.#bind(tensor, 'read', width);
    if (!lies || bound.width !== width) this.#uneven = true;
    if (width === 1) return this.loadTensor(tensor, at, this.isBool(id));
    this.#reads.push({ tensor, at });
    const four = this.body.bind(`${bound.name}[${at} / 4u]`);
    return this.body.bind(fromStorage(`${four}.${this.#component}`, described, this.isBool(id)));
  }

  #bind(tensor: TensorId, access: 'read' | 'write' | 'update', width: 1 | 4 = 1): Bound {
    const known = this.#bound.get(tensor);
    if (known) {
      if (known.access !== access) known.access = 'update';
      return known;
    }
    const bound: Bound = { name: `b${this.#bound.size}`, tensor, access, width };
    this.#bound.set(tensor, bound);
    return bound;
  }

  #windowBytes(): number {
    const { bindingBytes, alignment } = this.#source.target;
    return Math.floor(bindingBytes / alignment) * alignment;
  }

  /** Whether elements are read and written through functions. */
  #byFunction(tensor: ProgramTensor): boolean {
    return tensor.storage === 'u8' || this.#windows(tensor) > 1;
  }

  #windows(tensor: ProgramTensor): number {
    return Math.ceil(tensorBytes(tensor) / this.#windowBytes());
  }
}

/** How many bindings a tensor takes. */
export const windowsOf = (tensor: ProgramTensor, { bindingBytes, alignment }: Target): number =>
  Math.ceil(tensorBytes(tensor) / (Math.floor(bindingBytes / alignment) * alignment));

/** Bytes of one word are written by different threads. */
const elementType = (storage: Storage, access: Bound['access']): string =>
  storage !== 'u8' ? storage : access === 'read' ? 'u32' : 'atomic<u32>';

/** How an element is read and written, by its number among those of one binding. */
function accessOf(
  variable: string,
  storage: Storage,
  access: Bound['access'],
): { load: (at: string) => string; store: (at: string) => string } {
  if (storage !== 'u8')
    return {
      load: (at) => `return ${variable}[${at}];`,
      store: (at) => `${variable}[${at}] = x; return;`,
    };
  const word = (at: string): string => `${variable}[(${at}) / 4u]`;
  const shift = (at: string): string => `8u * ((${at}) % 4u)`;
  return {
    load: (at) => {
      const whole = access === 'read' ? word(at) : `atomicLoad(&${word(at)})`;
      return `return (${whole} >> (${shift(at)})) & 255u;`;
    },
    store: (at) =>
      `atomicAnd(&${word(at)}, ~(255u << (${shift(at)}))); atomicOr(&${word(at)}, x << (${shift(at)})); return;`,
  };
}

function accessFunctions(
  { name, storage, access }: Pick<Bound, 'name' | 'access'> & { readonly storage: Storage },
  windows: number,
  windowBytes: number,
): string[] {
  const each = windowBytes / elementBytes[storage];
  const parts = (line: (variable: string, at: string) => string) =>
    windows === 1
      ? line(name, 'i')
      : Array.from({ length: windows }, (_, w) => {
          const statement = line(`${name}_${w}`, `i - ${w * each}u`);
          return w < windows - 1 ? `if (i < ${(w + 1) * each}u) { ${statement} }` : statement;
        }).join(' ');
  const element = storage === 'u8' ? 'u32' : storage;
  const load = parts((variable, at) => accessOf(variable, storage, access).load(at));
  const store = parts((variable, at) => accessOf(variable, storage, access).store(at));
  return [
    `fn load_${name}(i: u32) -> ${element} { ${load} }`,
    ...(storage === 'u8' && access === 'read'
      ? []
      : [`fn store_${name}(i: u32, x: ${element}) { ${store} }`]),
  ];
}
