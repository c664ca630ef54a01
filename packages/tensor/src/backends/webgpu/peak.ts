/** @file What a program holds at the step at which it holds most. */
import type { Storage } from './kernel.ts';
import { lifetimesOf } from './memory.ts';
import { type Origin, type Program, type TensorId, tensorBytes } from './program.ts';

/** Tensors that are alike. */
export interface PeakRow {
  /** `input`; `copy`: a trained tensor in f16; `gradient`: read by nothing but norms and updates; of all others the kind of kernel that wrote them. */
  readonly kind: string;
  readonly storage: Storage;
  readonly tensors: number;
  readonly bytes: number;
}

/** The first word of a kernel's name. */
export const kindOf = (name: string): string => /^\S+/.exec(name)![0];
const ofUpdates = new Set(['update', 'squares']);

const fixed = (origin: Origin): boolean =>
  origin.kind === 'pack'
    ? origin.of === 'states'
    : ['state', 'weight', 'constant'].includes(origin.kind);

/** By kind and storage, the largest first. States and weights are not among them. */
export function atPeak(program: Program): PeakRow[] {
  const { tensors, steps } = program;
  const lifetimes = lifetimesOf(program);
  const lies = (id: TensorId): boolean =>
    lifetimes[id] !== undefined && !fixed(tensors[id]!.origin);
  const change = new Array<number>(steps.length + 3).fill(0);
  tensors.forEach((tensor, id) => {
    if (!lies(id)) return;
    const { from, to } = lifetimes[id]!;
    change[from + 1]! += tensorBytes(tensor);
    change[to + 2]! -= tensorBytes(tensor);
  });
  let [held, most, peak] = [0, 0, 0];
  change.forEach((bytes, i) => {
    held += bytes;
    if (held > most) [most, peak] = [held, i - 1];
  });
  const readers: string[][] = tensors.map(() => []);
  /** By tensor: it is made of states alone. */
  const copies = new Set<TensorId>();
  for (const { kernel, operands } of steps) {
    operands.forEach(({ tensor }, i) => {
      if (kernel.operands[i]!.access === 'read') readers[tensor]!.push(kindOf(kernel.name));
    });
    const read = operands.filter((_, i) => kernel.operands[i]!.access === 'read');
    const copied =
      read.length > 0 && read.every(({ tensor }) => tensors[tensor]!.origin.kind === 'state');
    if (copied)
      for (const [i, { tensor }] of operands.entries())
        if (kernel.operands[i]!.access === 'write') copies.add(tensor);
  }
  const kindAt = (id: TensorId): string => {
    if (tensors[id]!.origin.kind === 'input') return 'input';
    if (tensors[id]!.origin.kind === 'pack') return 'gradient';
    if (copies.has(id)) return 'copy';
    if (readers[id]!.length > 0 && readers[id]!.every((kind) => ofUpdates.has(kind)))
      return 'gradient';
    return kindOf(steps[lifetimes[id]!.from]!.kernel.name);
  };
  const rows = new Map<string, PeakRow>();
  tensors.forEach((tensor, id) => {
    if (!lies(id) || lifetimes[id]!.from > peak || lifetimes[id]!.to < peak) return;
    const [kind, { storage }] = [kindAt(id), tensor];
    const before = rows.get(`${kind} ${storage}`) ?? { kind, storage, tensors: 0, bytes: 0 };
    rows.set(`${kind} ${storage}`, {
      ...before,
      tensors: before.tensors + 1,
      bytes: before.bytes + tensorBytes(tensor),
    });
  });
  return [...rows.values()].sort((a, b) => b.bytes - a.bytes);
}
