/** @file What kernels are written into, and the plainest of them: each thread computes one element, or four. */
import { type AnyNode, type NodeId, type Shape, sizeOf } from '../../graph/types.ts';
import type { Plan, Storage, Target } from './kernel.ts';
import { type Place, placeAt, variable } from './places.ts';
import type { ProgramStep, TensorId } from './program.ts';
import type { Writer } from './writer.ts';

export interface Lowering {
  readonly target: Target;
  /** Threads of a workgroup that works along one line of elements. */
  readonly lineSize: number;
  node(id: NodeId): AnyNode;
  /** A new kernel, which computes the nodes `own` itself. */
  writer(own: Iterable<NodeId>): Writer;
  /** The tensor in which a node lies. */
  stored(id: NodeId): TensorId;
  temporary(storage: Storage, size: number): TensorId;
  /** The compute shader that gpu.js makes of a custom operation. */
  translated(id: NodeId): string;
  /** So many workgroups, as a grid. */
  grid(workgroups: number): [number, number];
  push(step: ProgramStep): void;
  /** The steps of a plan, on these tensors. `operations`: of the graph, that they compute. */
  pushPlan(
    plan: Plan,
    tensors: { readonly inputs: readonly TensorId[]; readonly outputs: readonly TensorId[] },
    path: string,
    operations: number,
  ): void;
}

/** A tensor, and how an element of what is stored in it is spelled, from the place of the element. */
export interface Stored {
  readonly tensor: TensorId;
  readonly value: (writer: Writer, place: Place) => string;
  readonly isBool: boolean;
}

/** Kernels of no more elements take no longer than a dispatch. Those of updates of small states (packs.ts) are among them. */
const FEW = 2 ** 16;
/** Operations of an element of which four are too much for one kernel: compilers of drivers would take their time. */
const LONG = 100;

/**
 * A kernel whose threads each compute four elements of tensors of one shape, which are read and written together: memory of graphics cards gives more at once than one number to each thread, and software drivers
 * save checks. Undefined where some tensor does not lie by fours, or where it is not worth its code.
 */
export function byFours(
  at: Lowering,
  shape: Shape,
  own: Iterable<NodeId>,
  stored: readonly Stored[],
): { readonly writer: Writer; readonly workgroups: readonly [number, number, number] } | undefined {
  const size = sizeOf(shape);
  if (size <= FEW || size % 4 !== 0) return undefined;
  const writer = at.writer(own);
  const { body } = writer;
  const [gx, gy] = at.grid(Math.ceil(size / 4 / at.lineSize));
  body.line(`let i = ((group.y * groups.x + group.x) * ${at.lineSize}u + local.x) * 4u;`);
  if (gx * gy * at.lineSize * 4 !== size) body.line(`if (i >= ${size}u) { return; }`);
  const place = placeAt(shape, variable('i', size));
  const values: (readonly string[])[] = [];
  for (const { value } of stored) {
    const four = writer.four(() => value(writer, place));
    if (!four || writer.operations > LONG) return undefined;
    values.push(four);
  }
  // All of an element is read before any of it is written.
  const whole = stored.every(({ tensor, isBool }, n) =>
    writer.storeFour(tensor, values[n]!, isBool),
  );
  return whole ? { writer, workgroups: [gx, gy, 1] } : undefined;
}

/** A kernel whose threads each store one element of `id`, or four. */
export function map(
  at: Lowering,
  id: NodeId,
  name: string,
  value: (writer: Writer, place: Place) => string,
): void {
  const node = at.node(id);
  const size = sizeOf(node.shape);
  const stored: Stored = { tensor: at.stored(id), value, isBool: node.dtype === 'bool' };
  const { writer, workgroups } =
    byFours(at, node.shape, [id], [stored]) ?? byOnes(at, node.shape, id, stored);
  at.push(
    writer.finish({
      ...{ name, workgroup: [at.lineSize, 1], workgroups },
      ...{ flops: size, path: node.path },
    }),
  );
}

function byOnes(at: Lowering, shape: Shape, id: NodeId, { tensor, value, isBool }: Stored) {
  const size = sizeOf(shape);
  const writer = at.writer([id]);
  const { body } = writer;
  body.line(`let i = (group.y * groups.x + group.x) * ${at.lineSize}u + local.x;`);
  body.line(`if (i >= ${size}u) { return; }`);
  const result = value(writer, placeAt(shape, variable('i', size)));
  writer.storeTensor(tensor, 'i', result, isBool);
  const [gx, gy] = at.grid(Math.ceil(size / at.lineSize));
  return { writer, workgroups: [gx, gy, 1] as const };
}
