/** @file The order of a program's steps: what lets go of more memory than it takes is done as soon as it can be. */
import { type Program, type ProgramStep, type TensorId, tensorBytes } from './program.ts';

/**
 * The same steps, in an order that needs less memory. Steps stay as they are given (a graph's own order) but for those that free more than they write: gradients of
 * weights and biases, which let go of what was kept for them, do not wait until the end of the program, where they are read.
 * Of a tensor that several steps have yet to read, each frees its share.
 */
export function schedule(program: Program): Program {
  const { tensors, steps } = program;
  const members = new Map(
    program.packs.map((pack) => [pack.tensor, pack.members.map(({ tensor }) => tensor)]),
  );
  const partsOf = (tensor: TensorId): readonly TensorId[] => members.get(tensor) ?? [tensor];
  const { before, after } = dependencies(steps, tensors.length, partsOf);
  const readers: number[][] = tensors.map(() => []);
  const left = tensors.map(() => 0);
  const touched = steps.map(
    ({ operands }) => new Set(operands.flatMap(({ tensor }) => partsOf(tensor))),
  );
  touched.forEach((all, i) => {
    for (const tensor of all) {
      readers[tensor]!.push(i);
      left[tensor]!++;
    }
  });
  // What the program gives at its end, and what is there all the time, nobody frees.
  const kept = new Set<TensorId>([...program.outputs.values()].map(({ tensor }) => tensor));
  for (const { from } of program.copies) kept.add(from);
  tensors.forEach(({ origin }, id) => {
    if (origin.kind !== 'temporary' && origin.kind !== 'input') kept.add(id);
  });
  const born = new Set<TensorId>();
  tensors.forEach(({ origin }, id) => {
    if (origin.kind !== 'temporary') born.add(id);
  });

  const waiting = before.map((all) => all.size);
  const done = steps.map(() => false);
  const order: number[] = [];
  /** Bytes that are free after a step, less those that are taken. */
  const gain = (i: number): number => {
    let bytes = 0;
    for (const tensor of touched[i]!) {
      const size = tensorBytes(tensors[tensor]!);
      if (!born.has(tensor)) bytes -= size;
      else if (!kept.has(tensor)) bytes += size / left[tensor]!;
    }
    return bytes;
  };
  const run = (i: number): void => {
    done[i] = true;
    order.push(i);
    for (const next of after[i]!) waiting[next]!--;
    for (const tensor of touched[i]!) {
      born.add(tensor);
      left[tensor]!--;
    }
  };
  steps.forEach((_, i) => {
    if (done[i]) return;
    run(i);
    const open = [i];
    for (let last = open.pop(); last !== undefined; last = open.pop()) {
      const candidates = new Set(after[last]);
      for (const tensor of touched[last]!)
        if (!kept.has(tensor)) for (const reader of readers[tensor]!) candidates.add(reader);
      for (const next of [...candidates].sort((a, b) => a - b))
        if (!done[next] && waiting[next] === 0 && gain(next) > 0) {
          run(next);
          open.push(next);
        }
    }
  });
  return { ...program, steps: order.map((i) => steps[i]!) };
}

/** For each step, those that have to be done before it, and those that wait for it. */
function dependencies(
  steps: readonly ProgramStep[],
  tensors: number,
  partsOf: (tensor: TensorId) => readonly TensorId[],
): { readonly before: readonly ReadonlySet<number>[]; readonly after: readonly number[][] } {
  const written: (number | undefined)[] = new Array<undefined>(tensors).fill(undefined);
  /** Since it was written. */
  const read: number[][] = Array.from({ length: tensors }, () => []);
  const before = steps.map(({ kernel, operands }, i) => {
    const all = new Set<number>();
    operands.forEach((operand, binding) => {
      for (const tensor of partsOf(operand.tensor)) {
        const last = written[tensor];
        if (last !== undefined) all.add(last);
        if (kernel.operands[binding]!.access === 'read') {
          read[tensor]!.push(i);
          continue;
        }
        for (const reader of read[tensor]!) all.add(reader);
        read[tensor] = [];
        written[tensor] = i;
      }
    });
    all.delete(i);
    return all;
  });
  const after = steps.map((): number[] => []);
  before.forEach((all, i) => {
    for (const earlier of all) after[earlier]!.push(i);
  });
  return { before, after };
}
