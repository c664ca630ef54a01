/** @file Adapters that are trained in a part of a run. */
import type { Schedule } from '@sdft/optim';
import { UserError } from '@sdft/tensor';
import type { Adapter } from '../contracts.ts';

/** Steps of a run, counted from 0: `from` up to, not including, `to`. */
export interface Phase {
  readonly from: number;
  /** Infinity: to the end of the run. */
  readonly to: number;
}

/** When an adapter is trained. Throws UserError where that is no range of steps. */
export function phaseOf({ name, steps: { from = 0, to = Infinity } = {} }: Adapter): Phase {
  const whole = (step: number) => Number.isInteger(step) && step >= 0;
  if (!whole(from) || !(whole(to) || to === Infinity) || to <= from)
    throw new UserError(
      `adapter ${name}: steps must run from a whole number, 0 or more, up to a larger one; got ${from} to ${to}`,
    );
  return { from, to };
}

/** Throws UserError where a run would begin with steps that train nothing. */
export function checkStart(phases: readonly Phase[]): void {
  const first = Math.min(...phases.map(({ from }) => from));
  if (phases.length > 0 && first > 0)
    throw new UserError(
      `no adapter is trained before step ${first}; let one of them begin with the run`,
    );
}

export const isWholeRun = ({ from, to }: Phase): boolean => from === 0 && to === Infinity;
export const isWithin = ({ from, to }: Phase, step: number): boolean => from <= step && step < to;

/** Steps that a phase has in a run of so many; undefined where the run has no end. */
export const lengthOf = ({ from, to }: Phase, steps: number | undefined): number | undefined =>
  to !== Infinity || steps !== undefined ? Math.min(to, steps ?? Infinity) - from : undefined;

/** A schedule times a factor, that begins with a phase. It does not end the run, unless the phase is all of it. */
export function within(phase: Phase, factor: number, schedule: Schedule): Schedule {
  const at = (step: number): number => factor * schedule.at(Math.max(0, step - phase.from));
  return isWholeRun(phase) && schedule.end !== undefined ? { at, end: schedule.end } : { at };
}

/** Names of inputs of the training graph: 1 while a phase lasts, else 0; and a number of the optimizer whose clock began at a step. */
export const gateInput = ({ from, to }: Phase): string => `trained ${from}-${to}`;
export const numberInput = (name: string, from: number): string =>
  from === 0 ? `number.${name}` : `number.${name} from ${from}`;
