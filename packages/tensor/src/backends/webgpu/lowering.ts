/** @file What kernels are written into, and the plainest of them: each thread computes one element. */
import { type AnyNode, type NodeId, sizeOf } from '../../graph/types.ts';
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

/** A kernel whose threads each store one element of `id`. */
export function map(
  at: Lowering,
  id: NodeId,
  name: string,
  value: (writer: Writer, place: Place) => string,
): void {
  const node = at.node(id);
  const size = sizeOf(node.shape);
  const writer = at.writer([id]);
  const { body } = writer;
  body.line(`let i = (group.y * groups.x + group.x) * ${at.lineSize}u + local.x;`);
  body.line(`if (i >= ${size}u) { return; }`);
  const result = value(writer, placeAt(node.shape, variable('i', size)));
  writer.storeTensor(at.stored(id), 'i', result, writer.isBool(id));
  const [gx, gy] = at.grid(Math.ceil(size / at.lineSize));
  at.push(
    writer.finish({
      name,
      workgroup: [at.lineSize, 1],
      workgroups: [gx, gy, 1],
      flops: size,
      path: node.path,
    }),
  );
}
