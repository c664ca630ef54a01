/** @file Updates of many small states in one dispatch: tensors that are updated alike lie side by side, as one. */
import type { Target } from './kernel.ts';
import {
  elementBytes,
  type Pack,
  type Program,
  type ProgramStep,
  type ProgramTensor,
  type TensorId,
  tensorBytes,
} from './program.ts';

/** Larger states take a dispatch each: what their gradients keep free from the first of them to the last would tell. */
const SMALL = 2 ** 16;

/** Joins steps that do the same to the elements of small tensors: those that `elements` says so of. */
export function pack(program: Program, target: Target): Program {
  const tensors = [...program.tensors];
  const packs: Pack[] = [...program.packs];
  const steps: (ProgramStep | undefined)[] = [...program.steps];
  const packed = new Set<TensorId>();
  for (const alike of groupsOf(program)) {
    for (const run of independent(program, alike)) {
      const joined = join(run, program, target, packed);
      if (!joined) continue;
      const { own, offsets, size } = joined;
      const whole = own.map((binding): TensorId => {
        const members = run.map((i, n) => ({
          tensor: program.steps[i]!.operands[binding]!.tensor,
          from: offsets[n]! * 4,
        }));
        for (const { tensor } of members) packed.add(tensor);
        const { origin } = program.tensors[members[0]!.tensor]!;
        const of = origin.kind === 'state' ? 'states' : 'working';
        packs.push({ tensor: tensors.length, members });
        return tensors.push({ storage: 'f32', size, origin: { kind: 'pack', of } }) - 1;
      });
      const last = run.at(-1)!;
      for (const i of run) steps[i] = undefined;
      steps[last] = stepOn(program.steps[last]!, { own, whole, size, run, program }, tensors);
    }
  }
  return { ...program, tensors, packs, steps: steps.filter((step) => step !== undefined) };
}

/** The one step that stands for those of `run`. */
function stepOn(
  step: ProgramStep,
  join: {
    readonly own: readonly number[];
    readonly whole: readonly TensorId[];
    readonly size: number;
    readonly run: readonly number[];
    readonly program: Program;
  },
  tensors: readonly ProgramTensor[],
): ProgramStep {
  const { own, whole, size, run, program } = join;
  const operands = step.operands.map((operand, binding) => {
    const at = own.indexOf(binding);
    if (at < 0) return operand;
    const tensor = whole[at]!;
    return { tensor, from: 0, bytes: tensorBytes(tensors[tensor]!) };
  });
  const all = run.map((i) => program.steps[i]!);
  return {
    ...step,
    operands,
    operations: all.reduce((sum, { operations }) => sum + operations, 0),
    kernel: {
      ...step.kernel,
      ...step.elements!.sized(size),
      flops: all.reduce((sum, { kernel }) => sum + kernel.flops, 0),
      bytes: operands.reduce((sum, { bytes }) => sum + bytes, 0),
    },
  };
}

/** Steps of the same code but for the number of elements, by their places in the program. */
function groupsOf({ steps, tensors }: Program): number[][] {
  const groups = new Map<string, number[]>();
  steps.forEach(({ elements, operands, kernel }, i) => {
    if (!elements || elements.size > SMALL) return;
    // What all read alike, such as a rate, is the same tensor for all.
    const common = operands.map(({ tensor }) =>
      tensors[tensor]!.size === elements.size ? '' : tensor,
    );
    const kinds = operands.map(({ tensor }) => tensors[tensor]!.origin.kind);
    const accesses = kernel.operands.map(({ access, storage }) => access + storage);
    const key = [elements.sized(0).code, ...common, ...kinds, ...accesses].join();
    groups.set(key, [...(groups.get(key) ?? []), i]);
  });
  return [...groups.values()].filter((group) => group.length > 1);
}

/** Runs of a group whose steps can all be done where the last of them stands. */
function independent({ steps }: Program, group: readonly number[]): number[][] {
  const touched = (i: number, writing: boolean): TensorId[] =>
    steps[i]!.operands.flatMap(({ tensor }, b) =>
      writing && steps[i]!.kernel.operands[b]!.access === 'read' ? [] : [tensor],
    );
  const runs: number[][] = [];
  let [run, reads, writes]: [number[], Set<TensorId>, Set<TensorId>] = [[], new Set(), new Set()];
  const close = (): void => {
    if (run.length > 1) runs.push(run);
    [run, reads, writes] = [[], new Set(), new Set()];
  };
  let next = group[0]!;
  for (const i of group) {
    const hinders = (k: number): boolean =>
      touched(k, true).some((tensor) => reads.has(tensor)) ||
      touched(k, false).some((tensor) => writes.has(tensor));
    let free = true;
    for (; next <= i; next++) free &&= !hinders(next);
    if (!free) close();
    run.push(i);
    for (const tensor of touched(i, false)) reads.add(tensor);
    for (const tensor of touched(i, true)) writes.add(tensor);
  }
  close();
  return runs;
}

/** Where each step's elements begin, and the bindings that are the steps' own; undefined where they cannot lie side by side. */
function join(
  run: readonly number[],
  { steps, tensors, outputs, copies }: Program,
  { alignment, bindingBytes }: Target,
  packed: ReadonlySet<TensorId>,
): { own: number[]; offsets: number[]; size: number } | undefined {
  const first = steps[run[0]!]!;
  const own = first.operands.flatMap(({ tensor }, binding) =>
    run.some((i) => steps[i]!.operands[binding]!.tensor !== tensor) ? [binding] : [],
  );
  const given = new Set([...outputs.values()].map(({ tensor }) => tensor));
  for (const { from, to } of copies) given.add(from).add(to);
  const members = run.flatMap((i) => own.map((b) => steps[i]!.operands[b]!.tensor));
  const fits = members.every((id) => {
    const { storage, origin } = tensors[id]!;
    const lies = origin.kind === 'state' || origin.kind === 'temporary';
    return lies && storage === 'f32' && !packed.has(id) && !given.has(id);
  });
  if (!fits || new Set(members).size < members.length) return undefined;
  const step = alignment / elementBytes.f32;
  const offsets: number[] = [];
  let size = 0;
  for (const i of run) {
    offsets.push(size);
    size += Math.ceil(steps[i]!.elements!.size / step) * step;
  }
  return size * elementBytes.f32 <= bindingBytes ? { own, offsets, size } : undefined;
}
