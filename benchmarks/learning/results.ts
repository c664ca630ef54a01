/** @file What was measured, as `results/learning.json` holds it, and what it says. */
import type { Machine } from '../report/machine.ts';
import type { Settings } from './methods.ts';
import type { Measured } from './side.ts';

/** What a model is worth, whoever trained it. */
export interface Evaluation {
  /** Of the kept-back pictures. */
  readonly validationLoss: number;
  /** Share of what is drawn that shows the wanted hand: 0..1. */
  readonly style: number;
  /** Share of what is drawn that shows what was asked for: 0..1. */
  readonly concept: number;
  /** How far apart the pictures of a prompt are: 0..2. */
  readonly diversity: number;
}

/** After the last step. */
export interface Trained extends Measured, Evaluation {}

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
  /** Before the first step. */
  readonly before: Evaluation;
  readonly pairs: readonly Pair[];
}

export interface Results {
  readonly job: 'learning';
  readonly about: string;
  readonly date: string;
  readonly commit: string;
  readonly machine: Machine;
  /** Of each side. */
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
