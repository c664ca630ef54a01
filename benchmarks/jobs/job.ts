/** @file What a job is given and what it gives back. */
import type { Side } from '../contestants/contestant.ts';
import type { Agreement } from '../measure/sameWork.ts';
import type { Ratio } from '../measure/statistics.ts';
import { type Size, writeRecord } from '../workload/record.ts';
import { checkpointOf, type ModelName } from '../workload/models.ts';
import type { Task } from '../workload/task.ts';

/** What the command line says. */
export interface Bench {
  /** Ours, then theirs where Python was found. */
  readonly sides: readonly Side[];
  readonly threads: number;
  /** Undefined: each job's own number. */
  readonly pairs?: number;
  /** In place of the job's own. */
  readonly model?: ModelName;
  /** Progress, for people. */
  log(text: string): void;
}

export interface Job {
  readonly name: string;
  /** One line. */
  readonly about: string;
  run(bench: Bench): Promise<Outcome>;
}

export interface Outcome {
  /** What was computed, for the result's file. */
  readonly workload: Readonly<Record<string, unknown>>;
  readonly figures: readonly Figure[];
  readonly versions: Readonly<Record<string, string>>;
  readonly sameWork?: Agreement;
  /** For people: what a reader of the figures must know besides. */
  readonly notes?: readonly string[];
  /** Everything that was measured. */
  readonly samples: unknown;
}

/** One line of the table. */
export interface Figure {
  readonly figure: string;
  readonly unit: 's' | 'GB' | '%' | '';
  readonly ours: number;
  readonly theirs?: number;
  readonly ratio?: Ratio;
  readonly goal?: Goal | undefined;
}

export interface Goal {
  readonly text: string;
  readonly reached: boolean;
}

export interface Workload {
  readonly model: ModelName;
  readonly size: Size;
  readonly recompute?: boolean;
}

export interface Prepared {
  readonly task: Task;
  /** What a result's file says about it. */
  readonly workload: Readonly<Record<string, unknown>>;
}

/**
 * The task of a job, its files written. `tiny` is for trying the harness out: its pictures are small, too.
 *
 * @param steps how many a process may do
 */
export async function prepare(
  bench: Bench,
  { model: own, size, recompute = false }: Workload,
  steps: number,
): Promise<Prepared> {
  const model = bench.model ?? own;
  const checkpoint = await checkpointOf(model, bench.log);
  const { batch } = size;
  const latents = model === 'tiny' ? Math.min(size.latents, 16) : size.latents;
  const files = await writeRecord(checkpoint, { batch, latents }, steps);
  return {
    task: { checkpoint, ...files, lr: 5e-4, threads: bench.threads, recompute },
    workload: { model, batch, latents: [latents, latents] },
  };
}
