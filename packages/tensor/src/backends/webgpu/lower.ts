/** @file From a graph to a program: every node that lies in memory gets a tensor and the kernels that compute it. */
import type { KernelCall } from '../../custom/gpujs.ts';
import { callOf, type CustomNode } from '../../custom/kernels.ts';
import { internal } from '../../errors.ts';
import {
  type AnyNode,
  type Graph,
  type NodeId,
  type Primitive,
  sizeOf,
  stridesOf,
} from '../../graph/types.ts';
import { needed } from '../../graph/walk.ts';
import { givenIn } from '../../host/rowNumbers.ts';
import { Body } from './body.ts';
import { custom } from './custom.ts';
import { fuse, type Fusion } from './fuse.ts';
import type { Kernel, Plan, Storage, Target } from './kernel.ts';
import { type Lowering, map } from './lowering.ts';
import { affine, placeAt, variable } from './places.ts';
import { joined } from './spell.ts';
import type { Origin, Program, ProgramStep, ProgramTensor, RowCheck, TensorId } from './program.ts';
import { tensorBytes } from './program.ts';
import { reduce } from './reductions.ts';
import { composite, conv2d, conv2dGradInput, conv2dGradWeight, matmul } from './planned.ts';
import { scatterAdd } from './scatter.ts';
import { type Precision, storageOf } from './storage.ts';
import { lowerUpdates } from './updateKernels.ts';
import { type Source, windowsOf, Writer } from './writer.ts';

export interface LowerOptions {
  readonly precision: Precision;
  /** Makes compute shaders of custom operations; needed where the graph has some. */
  readonly translate?: ((call: KernelCall) => string) | undefined;
}

/** What computes a stored node; `end`: the node that is stored in its stead, after an epilogue. */
type Rule = (at: Lowering & Source, id: NodeId, end: NodeId) => void;

const elementwise: Rule = (at: Lowering, id) =>
  map(at, id, at.node(id).op, (writer, place) => writer.value(id, place));
const given: Rule = (_, id) => {
  throw internal(`node ${id} is given and not computed`);
};

const rules: { [P in Primitive]: Rule } = {
  input: given,
  weight: given,
  constant: elementwise,
  neg: elementwise,
  exp: elementwise,
  log: elementwise,
  sqrt: elementwise,
  sin: elementwise,
  cos: elementwise,
  tanh: elementwise,
  erf: elementwise,
  sigmoid: elementwise,
  abs: elementwise,
  sign: elementwise,
  add: elementwise,
  sub: elementwise,
  mul: elementwise,
  div: elementwise,
  pow: elementwise,
  maximum: elementwise,
  minimum: elementwise,
  less: elementwise,
  equal: elementwise,
  where: elementwise,
  cast: elementwise,
  reduceSum: reduce,
  reduceMax: reduce,
  matmul,
  conv2d,
  conv2dGradInput,
  conv2dGradWeight,
  reshape: elementwise,
  permute: elementwise,
  broadcast: elementwise,
  pad: elementwise,
  slice: elementwise,
  concat,
  gather: elementwise,
  scatterAdd,
  stopGradient: elementwise,
  barrier: elementwise,
  composite: (at, id, end) => composite(at, id, [id], end),
  part: given,
  custom,
};

const isGiven = (node: AnyNode): boolean =>
  node.op === 'input' ||
  node.op === 'weight' ||
  (node.op === 'constant' && node.attrs.data.length > 1);

/** Bindings left for what a kernel writes, and for faults. */
const OWN_BINDINGS = 2;

/** Parts by as many kernels as need be: none may be bound to too many tensors. */
function concat(at: Lowering & Source, id: NodeId): void {
  const node = at.node(id) as AnyNode & { op: 'concat' };
  const { axis } = node.attrs;
  const most = at.target.bindings - OWN_BINDINGS;
  let [start, first] = [0, 0];
  while (first < node.inputs.length) {
    const leaves = new Set<NodeId>();
    let [length, next] = [0, first];
    for (; next < node.inputs.length; next++) {
      const input = node.inputs[next]!;
      for (const leaf of at.tensorOf(input) === undefined ? at.leavesOf(input) : [input])
        leaves.add(leaf);
      if (next > first && leaves.size > most) break;
      length += at.node(input).shape[axis]!;
    }
    const shape = node.shape.map((d, i) => (i === axis ? length : d));
    const size = sizeOf(shape);
    const writer = at.writer([id]);
    const { body } = writer;
    body.line(`let i = (group.y * groups.x + group.x) * ${at.lineSize}u + local.x;`);
    body.line(`if (i >= ${size}u) { return; }`);
    const place = placeAt(shape, variable('i', size));
    const value = joined(writer, node.inputs.slice(first, next), axis, place);
    const strides = stridesOf(node.shape);
    const target = affine(place, strides, start * strides[axis]!);
    writer.storeTensor(at.stored(id), body.bind(target.code), value, writer.isBool(id));
    if (next === node.inputs.length) writer.computes(id);
    const [gx, gy] = at.grid(Math.ceil(size / at.lineSize));
    at.push(
      writer.finish({
        name: 'concat',
        workgroup: [at.lineSize, 1],
        workgroups: [gx, gy, 1],
        flops: 0,
        path: node.path,
      }),
    );
    start += length;
    first = next;
  }
}

/** Lowers a graph whose composites are spelled out, but for those that have kernels. */
export function lower(graph: Graph, target: Target, options: LowerOptions): Program {
  return new Lowerer(graph, target, options).program();
}

class Lowerer implements Lowering, Source {
  readonly target: Target;
  readonly lineSize: number;
  readonly #graph: Graph;
  readonly #fusion: Fusion;
  readonly #storage: (id: NodeId) => Storage;
  readonly #tensors: ProgramTensor[] = [];
  readonly #steps: ProgramStep[] = [];
  readonly #ofNode = new Map<NodeId, TensorId>();
  readonly #checks: RowCheck[] = [];
  readonly #checkOf = new Map<NodeId, number>();
  /** The live parts of each composite. */
  readonly #parts = new Map<NodeId, NodeId[]>();
  readonly #translate: LowerOptions['translate'];
  #faults: TensorId | undefined;

  constructor(graph: Graph, target: Target, { precision, translate }: LowerOptions) {
    this.#translate = translate;
    this.target = target;
    this.lineSize = target.kind === 'gpu' ? Math.min(256, target.workgroupSize) : 64;
    this.#graph = graph;
    const storage = storageOf(graph, target.f16 ? precision : 'f32');
    this.#storage = (id) => storage[id]!;
    this.#fusion = fuse(graph, {
      leaves: target.bindings - OWN_BINDINGS,
      epilogue: target.bindings >= 10 ? 3 : 1,
      windows: (id) =>
        windowsOf(
          { storage: storage[id]!, size: this.#sizeOf(id), origin: { kind: 'temporary' } },
          target,
        ),
    });
  }

  program(): Program {
    const { nodes, outputs } = this.#graph;
    const live = needed(this.#graph);
    nodes.forEach((node, id) => {
      if (node.op === 'part' && live[id])
        this.#parts.set(node.inputs[0]!, [...(this.#parts.get(node.inputs[0]!) ?? []), id]);
    });
    nodes.forEach((node, id) => {
      const isState = node.op === 'input' && node.attrs.state;
      if (isState || (live[id] && this.#fusion.stored[id])) this.#declare(node, id);
    });
    nodes.forEach((node, id) => {
      if (!live[id]) return;
      const start = this.#fusion.epilogues.get(id) ?? id;
      if (node.op === 'composite' && node.attrs.outputs.length > 1) this.#several(id);
      else if (this.node(start).op === 'part') {
        if (start !== id)
          composite(
            this,
            this.node(start).inputs[0]!,
            this.#partsOf(this.node(start).inputs[0]!),
            id,
          );
      } else if (this.#fusion.stored[id] && !isGiven(node))
        rules[this.node(start).op](this, start, id);
    });
    const results = new Map(
      Object.entries(outputs).map(([name, id]) => [
        name,
        { tensor: this.#output(id), type: { shape: nodes[id]!.shape, dtype: nodes[id]!.dtype } },
      ]),
    );
    const copies = lowerUpdates(this, this.#graph, this.#fusion);
    return {
      tensors: this.#tensors,
      steps: this.#steps,
      outputs: results,
      copies,
      checks: this.#checks,
      packs: [],
    };
  }

  node(id: NodeId): AnyNode {
    return this.#graph.nodes[id]!;
  }
  tensorOf(id: NodeId): TensorId | undefined {
    return this.#ofNode.get(id);
  }
  tensor(id: TensorId): ProgramTensor {
    return this.#tensors[id]!;
  }
  stored(id: NodeId): TensorId {
    const tensor = this.#ofNode.get(id);
    if (tensor === undefined) throw internal(`node ${id} (${this.node(id).op}) lies nowhere`);
    return tensor;
  }
  leavesOf(id: NodeId): ReadonlySet<NodeId> {
    return this.#fusion.leaves(id);
  }
  writer(own: Iterable<NodeId>): Writer {
    return new Writer(this, own, new Body());
  }
  temporary(storage: Storage, size: number): TensorId {
    return this.#add(storage, size, { kind: 'temporary' });
  }
  push(step: ProgramStep): void {
    this.#steps.push(step);
  }
  translated(id: NodeId): string {
    if (!this.#translate) throw internal('nothing translates custom operations here');
    return this.#translate(callOf(this.node(id) as CustomNode, this.#graph));
  }
  grid(workgroups: number): [number, number] {
    // Rows of one length, so that one group too many for a row does not make a second row of idle ones.
    const y = Math.max(1, Math.ceil(workgroups / this.target.workgroups));
    return [Math.ceil(workgroups / y), y];
  }

  pushPlan(
    { steps, scratch }: Plan,
    {
      inputs,
      outputs,
    }: { readonly inputs: readonly TensorId[]; readonly outputs: readonly TensorId[] },
    path: string,
    operations: number,
  ): void {
    const between = scratch.map((bytes) => this.temporary('u32', Math.ceil(bytes / 4)));
    for (const [n, { kernel, slots }] of steps.entries()) {
      const tensors = slots.map(({ kind, index }) =>
        kind === 'input' ? inputs[index]! : kind === 'output' ? outputs[index]! : between[index]!,
      );
      slots.forEach(({ kind }, i) => {
        const { storage } = this.tensor(tensors[i]!);
        if (kind !== 'scratch' && storage !== kernel.operands[i]!.storage)
          throw internal(`${kernel.name} sees ${storage} as ${kernel.operands[i]!.storage}`);
      });
      this.push({
        kernel,
        operands: this.#distinct(kernel, tensors, path).map((tensor) => ({
          tensor,
          from: 0,
          bytes: tensorBytes(this.tensor(tensor)),
        })),
        path,
        operations: n === steps.length - 1 ? operations : 0,
      });
    }
  }

  check(
    id: NodeId,
    rows: number,
  ): { readonly slot: number; readonly faults: TensorId } | undefined {
    const node = this.node(id);
    const indices = this.node(node.inputs[1]!);
    if (givenIn((one) => this.node(one), node.inputs[1]!) !== undefined) return undefined;
    // A code is none of a table that has a row for each.
    if (indices.op === 'cast' && this.node(indices.inputs[0]!).dtype === 'u8' && rows >= 256)
      return undefined;
    this.#faults ??= this.#add('u32', 0, { kind: 'faults' });
    const slot = this.#checkOf.get(id) ?? this.#checks.length;
    if (slot === this.#checks.length) {
      this.#checkOf.set(id, slot);
      this.#checks.push({ op: node.op, path: node.path, rows });
      this.#tensors[this.#faults] = {
        storage: 'u32',
        size: 2 * this.#checks.length,
        origin: { kind: 'faults' },
      };
    }
    return { slot, faults: this.#faults };
  }

  /** Tensors of which none is twice: a buffer that is written may be bound only once, and all are declared as if they were. */
  #distinct(kernel: Kernel, tensors: readonly TensorId[], path: string): TensorId[] {
    const used = new Set<TensorId>();
    return tensors.map((tensor, i) => {
      if (!used.has(tensor)) {
        used.add(tensor);
        return tensor;
      }
      if (kernel.operands[i]!.access !== 'read')
        throw internal(`${kernel.name} writes what it is bound to twice`);
      return this.#copy(tensor, path);
    });
  }

  #copy(tensor: TensorId, path: string): TensorId {
    const { storage, size } = this.tensor(tensor);
    const copy = this.temporary(storage, size);
    const writer = this.writer([]);
    writer.body.line(`let i = (group.y * groups.x + group.x) * ${this.lineSize}u + local.x;`);
    writer.body.line(`if (i >= ${size}u) { return; }`);
    writer.storeTensor(copy, 'i', writer.loadTensor(tensor, 'i'));
    const [gx, gy] = this.grid(Math.ceil(size / this.lineSize));
    this.push(
      writer.finish({
        name: 'copy',
        workgroup: [this.lineSize, 1],
        workgroups: [gx, gy, 1],
        flops: 0,
        path,
      }),
    );
    return copy;
  }

  /** A composite of several results, unless what is done to the first of them comes later. */
  #several(id: NodeId): void {
    const parts = this.#partsOf(id);
    const [first] = parts;
    if (first === undefined || this.tensorOf(first) !== undefined)
      composite(this, id, parts, first);
  }

  /** The nodes of a composite's results, by index. */
  #partsOf(id: NodeId): (NodeId | undefined)[] {
    const parts: (NodeId | undefined)[] = [];
    for (const part of this.#parts.get(id) ?? [])
      parts[(this.node(part) as AnyNode & { op: 'part' }).attrs.index] = part;
    return parts;
  }

  #sizeOf(id: NodeId): number {
    return sizeOf(this.node(id).shape);
  }

  #add(storage: Storage, size: number, origin: Origin): TensorId {
    this.#tensors.push({ storage, size, origin });
    return this.#tensors.length - 1;
  }

  #declare(node: AnyNode, id: NodeId): void {
    const type = { shape: node.shape, dtype: node.dtype };
    const origin: Origin =
      node.op === 'input'
        ? { kind: node.attrs.state ? 'state' : 'input', name: node.attrs.name, type }
        : node.op === 'weight'
          ? { kind: 'weight', name: node.attrs.name }
          : node.op === 'constant' && node.attrs.data.length > 1
            ? { kind: 'constant', data: node.attrs.data, type }
            : { kind: 'temporary' };
    this.#ofNode.set(id, this.#add(this.#storage(id), sizeOf(node.shape), origin));
  }

  /** A tensor that still holds the output when all has been computed: a state will have moved on by then. */
  #output(id: NodeId): TensorId {
    const tensor = this.stored(id);
    return this.tensor(tensor).origin.kind === 'state' ? this.#copy(tensor, '') : tensor;
  }
}
