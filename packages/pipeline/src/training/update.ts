/** @file From the gradient to the next value of every state: trainables, what the optimizer keeps, averages, sums of gradients. */
import { type Ema, type Optimizer, stateType } from '@sdft/optim';
import { type Shape, squaredNorms, type Tensor, type Tracer } from '@sdft/tensor';
import { gateInput, isWholeRun, numberInput, type Phase } from './phases.ts';
import type { Attached } from './trainables.ts';

/** Names in the graph. */
export const trainableState = (name: string): string => `trainable ${name}`;
/** The running average of a trainable. */
export const averageState = (name: string): string => `average ${name}`;
export const optimizerState = (name: string): string => `optimizer ${name}`;
const accumulatedState = (name: string): string => `accumulated ${name}`;

/** Larger than any loss or gradient that is still of use; NaN and infinity are not below it. */
const LARGEST = 1e38;

export interface UpdateSettings {
  readonly optimizer: Optimizer;
  readonly ema?: Ema | undefined;
  readonly accumulate: number;
}

/** The update of every state. */
export function withUpdate(
  t: Tracer,
  attached: Attached,
  { optimizer, ema, accumulate }: UpdateSettings,
  values: ReadonlyMap<string, Tensor>,
  loss: Tensor,
  own: Readonly<Record<string, Tensor>>,
): { outputs: Record<string, Tensor>; updates: Record<string, Tensor> } {
  const trained = Object.keys(own);
  const each = <T>(make: (name: string) => T): Record<string, T> =>
    Object.fromEntries(trained.map((name) => [name, make(name)]));
  const trainables = new Map(attached.trainables.map((trainable) => [trainable.name, trainable]));
  const phaseAt = (name: string): Phase => attached.phases[trainables.get(name)!.phase]!;
  const gates = gatesOf(t, attached.phases);
  const before =
    accumulate === 1 ? {} : each((name) => t.state(accumulatedState(name), own[name]!.shape));
  const gradients = each((name) => {
    const present = gates.of(phaseAt(name), (gate) => gate.where(own[name]!, 0), own[name]!);
    return accumulate === 1 ? present : before[name]!.add(present.div(accumulate));
  });

  const squares = squaredNorms(trained.map((name) => gradients[name]!));
  const gradNorm = squares.sum().sqrt();

  const rates = attached.rates.map((_, i) => t.input(`lr.${i}`, []));
  const parameters = each((name) => values.get(name)!);
  const shapes = each((name) => parameters[name]!.shape);
  const state = Object.fromEntries(
    Object.entries(optimizer.init(shapes)).map(([name, given]) => {
      const { shape, dtype } = stateType(given);
      return [name, t.state(optimizerState(name), shape, dtype)];
    }),
  );
  const lr = each((name) => rates[trainables.get(name)!.rate]!);
  const weightDecay = Object.fromEntries(
    trained.flatMap((name) => {
      const decay = trainables.get(name)!.weightDecay;
      return decay === undefined ? [] : [[name, decay]];
    }),
  );
  /** What the optimizer makes of everything, if it began at this step. What nobody takes of it is not computed. */
  const begun = [...new Set(attached.phases.map(({ from }) => from))].map((from) => {
    const numbers = Object.fromEntries(
      Object.keys(optimizer.numbers).map((name) => [name, t.input(numberInput(name, from), [])]),
    );
    const call = { gradients, parameters, state, numbers, lr, weightDecay };
    return [from, optimizer.update(call)] as const;
  });
  const next = new Map(begun);

  const finite = loss.abs().add(gradNorm).less(LARGEST);
  // Everything below is chosen by conditions, so that what is not finite is never written.
  const ends = accumulate === 1 ? finite : finite.where(t.input('update', []), 0).greater(0.5);
  const endsIn = (phase: Phase): Tensor =>
    gates.of(phase, (gate) => ends.where(gate.cast('f32'), 0).greater(0.5), ends);
  const updates: Record<string, Tensor> = {};
  const rate = ema && t.input('ema.rate', []);
  for (const name of trained) {
    const phase = phaseAt(name);
    const moved = next.get(phase.from)!.parameters[name]!;
    const value = endsIn(phase).where(moved, parameters[name]!);
    updates[trainableState(name)] = value;
    if (!ema) continue;
    const average = t.state(averageState(name), shapes[name]!);
    updates[averageState(name)] = ends.where(ema.update(average, value, rate!), average);
  }
  const owners = ownersOf(optimizer, shapes, (name) => trainables.get(name)!.phase);
  for (const [name, present] of Object.entries(state)) {
    const phase = attached.phases[owners.get(name) ?? -1];
    const { state: changed } = phase ? next.get(phase.from)! : begun[0]![1];
    updates[optimizerState(name)] = (phase ? endsIn(phase) : ends).where(changed[name]!, present);
  }
  for (const [name, sum] of Object.entries(before))
    updates[accumulatedState(name)] = ends.where(0, finite.where(gradients[name]!, sum));
  return { outputs: { loss, gradNorm, norms: squares.sqrt() }, updates };
}

/** Whether the present step belongs to a phase, as conditions of the graph; a phase that is the whole run has none. */
function gatesOf(t: Tracer, phases: readonly Phase[]) {
  const gates = new Map(
    phases
      .filter((phase) => !isWholeRun(phase))
      .map((phase) => [phase, t.input(gateInput(phase), []).greater(0.5)]),
  );
  return {
    of: (phase: Phase, gated: (gate: Tensor) => Tensor, always: Tensor): Tensor => {
      const gate = gates.get(phase);
      return gate ? gated(gate) : always;
    },
  };
}

/** The phase of each state of the optimizer: that of the parameters without which it would not be there. States of everything have none. */
function ownersOf(
  optimizer: Optimizer,
  shapes: Readonly<Record<string, Shape>>,
  phaseAt: (name: string) => number,
): ReadonlyMap<string, number> {
  const all = Object.keys(optimizer.init(shapes));
  const owners = new Map<string, number>();
  const phases = new Set(Object.keys(shapes).map(phaseAt));
  const [only] = phases;
  if (phases.size === 1) return new Map(all.map((name) => [name, only!]));
  for (const phase of phases) {
    const others = optimizer.init(
      Object.fromEntries(Object.entries(shapes).filter(([name]) => phaseAt(name) !== phase)),
    );
    for (const name of all) if (!(name in others)) owners.set(name, phase);
  }
  return owners;
}
