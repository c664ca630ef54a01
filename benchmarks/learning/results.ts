/** @file What was measured, as `results/learning.json` holds it, and what it says. */
import type { Machine } from '../report/machine.ts';
import type { Settings } from './methods.ts';
import type { Measured } from './side.ts';

export interface Trained extends Measured {
  /** Of the kept-back pictures, after the last step. */
  readonly validationLoss: number;
}

export interface Pair {
  readonly seed: number;
  /** Cores that other programs kept busy, looked at before, between and after. */
  readonly busyCores: readonly number[];
  readonly theirs: Trained;
  readonly ours: Trained;
}

export interface MethodResult {
  readonly method: string;
  readonly title: string;
  readonly theirProgram: string;
  readonly settings: Settings;
  readonly also: string;
  readonly captions: string;
  /** Of the kept-back pictures, before the first step. */
  readonly validationLossBefore: number;
  readonly pairs: readonly Pair[];
}

export interface Results {
  readonly job: 'learning';
  readonly about: string;
  readonly date: string;
  readonly commit: string;
  readonly machine: Machine;
  readonly threads: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly data: Readonly<Record<string, unknown>>;
  readonly methods: readonly MethodResult[];
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Standard deviation of a sample: n - 1 below the line. */
export function deviation(values: readonly number[]): number {
  const middle = mean(values);
  return Math.sqrt(
    values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1),
  );
}

/** Whether ours has learned as much: its mean loss is no more than one standard deviation (the larger of both sides') above theirs. Undefined where one pair alone was measured. */
export function asGood({ pairs }: MethodResult): boolean | undefined {
  if (pairs.length < 2) return undefined;
  const losses = (side: 'ours' | 'theirs') => pairs.map((pair) => pair[side].validationLoss);
  const [ours, theirs] = [losses('ours'), losses('theirs')];
  return mean(ours) <= mean(theirs) + Math.max(deviation(ours), deviation(theirs));
}
