/** @file What `build()` gives: a run that steps, saves, generates. */
import type { MemoryPlan } from '@sdft/tensor';
import type { NdArray } from 'ndarray';
import type { DataCounts } from '../batches/source.ts';
import type { AdapterState } from '../contracts.ts';
import type { Generated } from '../generation/generator.ts';
import type { GenerateOptions } from '../generation/settings.ts';
import type { ResolvedRecipe } from '../recipe/composition.ts';
import type { Base } from '../training/base.ts';
import type { StepReport } from './trainer.ts';

/** What a run is going to do, before it does it. */
export interface Plan {
  /** Trainable numbers. */
  readonly parameters: number;
  /** Trainables that a gradient reaches, by their names. */
  readonly trained: ReadonlyMap<string, readonly number[]>;
  /** Bytes that a step needs, composites taken for kernels that keep nothing but their results. */
  readonly memory: MemoryPlan;
  /** Pictures in a micro-step, class pictures included. */
  readonly batch: number;
  /** Undefined where batches come from a record. */
  readonly data: DataCounts | undefined;
  /** Pixels of the pictures; undefined where a record gives latents. */
  readonly size: { readonly width: number; readonly height: number } | undefined;
  /** Pictures that are kept back, and timesteps at which each of them is denoised; undefined where none are. */
  readonly validation: { readonly pictures: number; readonly timesteps: number } | undefined;
  /** Steps that there are: until the recipe's rates run out or the record ends; undefined: as many as are asked for. */
  readonly most: number | undefined;
  /** For people: where the base's settings came from. */
  readonly notes: readonly string[];
  /** What a person should know before it starts: cut captions, small pictures, trainables without gradient. */
  readonly warnings: readonly string[];
}

/** What a step says, and what was written after it. */
export interface Report extends StepReport {
  /** Wall time of all steps that led here, this one included, added up over resumes. */
  readonly elapsed: number;
  /** The validation loss after this step, where it is due: each `validation.every` steps, and after the last of the run (of this call, where the recipe says no number of steps). */
  readonly validationLoss?: number;
  /** The same before this step, where it is the first one, or the step before was interrupted. */
  readonly validationLossBefore?: number;
  /** Files and folders that this step wrote: state, result so far, previews. */
  readonly written: readonly string[];
}

/** sRGB bytes [H,W,3]. */
export interface Picture extends NdArray<Uint8Array> {
  /** Writes a PNG. Throws UserError if the file exists, unless `force`. */
  save(path: string, options?: { readonly force?: boolean }): Promise<void>;
}

export interface Run extends AsyncDisposable {
  /** With every default filled in, the seed too. */
  readonly recipe: ResolvedRecipe;
  readonly base: Base;
  readonly plan: Plan;
  /** Steps done. */
  readonly step: number;
  /** The folder of this run, where it has one. */
  readonly folder: string | undefined;
  /**
   * Takes `count` steps (by default all that the recipe has left), one each time it is asked. `signal` stops it after the step that is being computed. `rateFactor` is asked before
   * each step for a number that all learning rates are multiplied with, so that a caller's clock can have a say in them; such steps are not repeated by a recipe alone.
   *
   * @throws UserError where loss or gradient are not finite, no gradient arrives, pictures or files fail, or more steps are asked for than there are
   */
  steps(
    count?: number,
    options?: {
      readonly signal?: AbortSignal | undefined;
      readonly rateFactor?: (() => number) | undefined;
    },
  ): AsyncGenerator<Report, void, undefined>;
  /**
   * Writes what was trained; the extension chooses the layout. With several adapters each has a file of its own, `STEM.ADAPTER.EXTENSION`. Where the run has a folder, `summary.json`
   * in it says what the run came to (`Summary`).
   *
   * @param path by default the recipe's `save.out`
   * @returns the files
   * @throws UserError where a file exists, unless `force`, or cannot be written
   */
  save(path?: string, options?: { readonly force?: boolean | undefined }): Promise<string[]>;
  /** Draws pictures with what has been trained so far. Throws UserError for options out of range. */
  generate(prompt: string, options?: GenerateOptions): Promise<Picture[]>;
  /** The same, with latents and seeds. */
  generateWithLatents(prompt: string, options?: GenerateOptions): Promise<Generated[]>;
  /** The present values of each adapter's trainables: their running averages where these are kept, unless `ema` is false. */
  trainables(options?: { readonly ema?: boolean }): Promise<readonly AdapterState[]>;
  /** Writes what resuming needs to `state/STEP/` of the run's folder; gives the path. Throws UserError where the run has no folder. */
  saveState(): Promise<string>;
  /**
   * Goes on from the newest whole state in the folder of an earlier run of the same recipe; the steps that follow are those it would have taken itself, bit for bit.
   *
   * @param folder by default this run's own
   * @returns the step it goes on from; 0 where there is no state yet
   */
  resume(folder?: string): Promise<number>;
  /** Lets go of everything. */
  dispose(): Promise<void>;
}

/** The lines that a step writes to `metrics.jsonl`, and that `sdft train --json` prints: one for each micro-step, and one for each validation loss before and after it. */
export function metricLines(report: Report): object[] {
  const { step, losses, lr, gradNorm, validationLoss, validationLossBefore } = report;
  const { elapsed } = report;
  return [
    ...(validationLossBefore === undefined
      ? []
      : [validationLine(step - 1, validationLossBefore, elapsed - report.seconds)]),
    ...losses.map((loss, micro) => ({
      step,
      ...(losses.length > 1 && { microStep: (step - 1) * losses.length + micro }),
      loss,
      lr,
      gradNorm,
      seconds: toMilliseconds(elapsed),
    })),
    ...(validationLoss === undefined ? [] : [validationLine(step, validationLoss, elapsed)]),
  ];
}

/** The line of the validation loss after a step, `elapsed` seconds into the run. */
export const validationLine = (step: number, validationLoss: number, elapsed: number): object => ({
  step,
  validationLoss,
  seconds: toMilliseconds(elapsed),
});

const toMilliseconds = (seconds: number): number => Math.round(1000 * seconds) / 1000;
