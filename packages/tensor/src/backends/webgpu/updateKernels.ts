/** @file Kernels that move states on, at the end of a program, where everything else has been computed. */
import type { Graph, NodeId } from '../../graph/types.ts';
import type { Fusion } from './fuse.ts';
import { byFours, type Lowering } from './lowering.ts';
import { placeAt, variable } from './places.ts';
import type { ProgramStep, TensorId } from './program.ts';
import type { UpdateGroup } from './updates.ts';
import type { Source } from './writer.ts';

interface Copy {
  readonly from: TensorId;
  readonly to: TensorId;
}

/**
 * Writes next values over the old ones wherever nothing needs those any more, by an order in which each group of states moves on after all that read it.
 * Where there is no such order, next values are kept beside the old ones; the copies to do at the end are returned.
 */
export function lowerUpdates(at: Lowering & Source, graph: Graph, fusion: Fusion): Copy[] {
  const stateOf = new Map<string, NodeId>();
  graph.nodes.forEach((node, id) => {
    if (node.op === 'input' && node.attrs.state) stateOf.set(node.attrs.name, id);
  });
  const reads = (group: UpdateGroup): Set<NodeId> => {
    const all = new Set<NodeId>();
    for (const root of group.roots.values())
      for (const leaf of group.inside.has(root) ? fusion.leaves(root) : [root]) all.add(leaf);
    return all;
  };
  const left = new Map(fusion.updates.map((group) => [group, reads(group)]));
  const copies: Copy[] = [];
  while (left.size > 0) {
    const groups = [...left.keys()];
    const readByOthers = (group: UpdateGroup): boolean =>
      groups.some(
        (other) =>
          other !== group &&
          [...group.roots.keys()].some((name) => left.get(other)!.has(stateOf.get(name)!)),
      );
    const free = groups.filter((group) => !readByOthers(group));
    for (const group of free.length > 0 ? free : groups.slice(0, 1)) {
      copies.push(...write(at, group, stateOf, free.length > 0));
      left.delete(group);
    }
  }
  return copies;
}

function write(
  at: Lowering & Source,
  group: UpdateGroup,
  stateOf: ReadonlyMap<string, NodeId>,
  inPlace: boolean,
): Copy[] {
  const states = new Map(
    [...group.roots].map(([name, root]) => [at.stored(stateOf.get(name)!), root] as const),
  );
  const targets = new Map([...states.keys()].map((tensor) => [tensor, tensor]));
  if (inPlace) {
    const step = writeTo(at, group, states, targets);
    if (step) {
      at.push(step);
      return [];
    }
  }
  for (const tensor of states.keys()) {
    const { storage, size } = at.tensor(tensor);
    targets.set(tensor, at.temporary(storage, size));
  }
  // Room for as many results as operands: one kernel each.
  for (const [tensor, root] of states)
    at.push(writeTo(at, group, new Map([[tensor, root]]), targets)!);
  return [...targets].map(([to, from]) => ({ from, to }));
}

/** The kernel; undefined where it would overwrite what other threads read, or is bound to too much. */
function writeTo(
  at: Lowering & Source,
  { size }: UpdateGroup,
  roots: ReadonlyMap<TensorId, NodeId>,
  targets: ReadonlyMap<TensorId, TensorId>,
): ProgramStep | undefined {
  const first = at.node([...roots.values()][0]!);
  const overwrites = (elsewhere: ReadonlySet<TensorId>): boolean =>
    [...roots.keys()].some((tensor) => targets.get(tensor) === tensor && elsewhere.has(tensor));
  const fours = byFours(
    at,
    first.shape,
    [],
    [...roots].map(([tensor, root]) => ({
      tensor: targets.get(tensor)!,
      value: (writer, place) => writer.value(root, place),
      isBool: at.node(root).dtype === 'bool',
    })),
  );
  if (fours) {
    const { writer, workgroups } = fours;
    if (overwrites(writer.readElsewhere('i')) || writer.bindings > at.target.bindings)
      return undefined;
    return writer.finish({
      ...{ name: 'update', workgroup: [at.lineSize, 1], workgroups },
      ...{ flops: size * roots.size, path: first.path },
    });
  }
  const writer = at.writer([]);
  const { body } = writer;
  const within = (elements: number): string => `if (i >= ${elements}u) { return; }`;
  body.line(`let i = (group.y * groups.x + group.x) * ${at.lineSize}u + local.x;`);
  body.line(within(size));
  const place = placeAt(first.shape, variable('i', size));
  const values = [...roots].map(
    ([tensor, root]) => [tensor, writer.value(root, place), writer.isBool(root)] as const,
  );
  const own = size === 1 ? '0u' : 'i';
  const elsewhere = writer.readElsewhere(own);
  if (overwrites(elsewhere)) return undefined;
  // All of an element is read before any of it is written.
  for (const [tensor, value, isBool] of values)
    writer.storeTensor(targets.get(tensor)!, own, value, isBool);
  if (writer.bindings > at.target.bindings) return undefined;
  const workgroups = (elements: number): [number, number, number] => [
    ...at.grid(Math.ceil(elements / at.lineSize)),
    1,
  ];
  const step = writer.finish({
    name: 'update',
    workgroup: [at.lineSize, 1],
    workgroups: workgroups(size),
    flops: size * roots.size,
    path: first.path,
  });
  const sized = (elements: number) => ({
    code: step.kernel.code.replace(within(size), within(elements)),
    workgroups: workgroups(elements),
  });
  const aligned = [...elsewhere].every((tensor) => at.tensor(tensor).size !== size);
  return size > 1 && aligned ? { ...step, elements: { size, sized } } : step;
}
