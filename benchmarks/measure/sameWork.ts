/** @file Whether both sides did the same: losses, gradients and trained rows of the same steps, side by side. */
import type { Step } from '../workload/task.ts';
import { relativeError } from './statistics.ts';

export interface Agreement {
  /** Steps that were compared. */
  readonly steps: number;
  /** The largest relative difference of a loss. */
  readonly loss: number;
  /** RMS of the difference of the first step's gradients, over their RMS. */
  readonly gradient: number;
  /** The largest such difference of AdamW's running means of gradients. Later steps start from rows that differ a little. */
  readonly moment: number;
  /** RMS of the difference of the trained row at the end, over the RMS of how far it moved since the first step. */
  readonly movement: number;
  readonly same: boolean;
}

/**
 * What is allowed: f32 rounding, which Adam amplifies, as it divides each gradient by its own size. Different work is off by far more: another timestep or another prompt changes a
 * gradient by more than its own size.
 */
const bars = { loss: 1e-4, gradient: 1e-3, moment: 1e-2, movement: 1e-2 } as const;

/** Compares as many steps as both have; at least two. */
export function agreementOf(a: readonly Step[], b: readonly Step[]): Agreement {
  const steps = Math.min(a.length, b.length);
  const over = (measure: (mine: Step, other: Step) => number): number[] =>
    b.slice(0, steps).map((other, k) => measure(a[k]!, other));
  const moments = over((mine, other) => relativeError(mine.moment, other.moment));
  const moved = (all: readonly Step[]): number[] =>
    all[steps - 1]!.row.map((value, i) => value - all[0]!.row[i]!);
  const found = {
    loss: Math.max(...over((mine, other) => Math.abs(mine.loss / other.loss - 1))),
    // After the first step the mean is a tenth of the gradient.
    gradient: moments[0]!,
    moment: Math.max(...moments),
    movement: relativeError(moved(a), moved(b)),
  };
  const same = (Object.keys(bars) as (keyof typeof bars)[]).every((key) => found[key] <= bars[key]);
  return { steps, ...found, same };
}
