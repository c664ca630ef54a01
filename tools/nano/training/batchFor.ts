/** @file How many pictures a step takes on a machine that nobody has measured. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { recipeFromYaml } from '@sdft/methods';
import { now } from './clock.ts';
import { say, type TrainFor, trainFor } from './trainFor.ts';

export interface BatchChoice {
  /** The batch that is measured. */
  readonly measured: number;
  /** Batches to choose from, the smallest first. */
  readonly from: readonly number[];
  /** Steps that there shall be time for. */
  readonly steps: number;
}

/** Steps that are measured, after those that compile, and encode pictures for the first time. */
const [COLD, WARM] = [3, 5];

/**
 * The settings that go with a batch: the one that was said, that of the run which is gone on with, or else the largest one that leaves time for so many steps. Rates are the recipe's times
 * the square root of the batch over the recipe's own (Malladi et al. 2022, arXiv:2205.10287).
 */
export async function withBatch(
  options: TrainFor,
  said: string | undefined,
  choice: BatchChoice,
): Promise<TrainFor> {
  const recipe = recipeFromYaml(readFileSync(options.recipe, 'utf8'), options.recipe) as {
    readonly batch: number;
    readonly optimizer: { readonly lr: number };
    readonly textEncoderLr?: number;
  };
  const batch = said === undefined ? await batchFor(options, choice) : Number(said);
  const factor = Math.sqrt(batch / recipe.batch);
  const { optimizer, textEncoderLr } = recipe;
  const changes = {
    ...options.changes,
    ...{ batch, optimizer: { ...optimizer, lr: optimizer.lr * factor } },
    ...(textEncoderLr !== undefined && { textEncoderLr: textEncoderLr * factor }),
  };
  return { ...options, changes };
}

/** Half of the measured time is taken to grow with the batch, the other half to be the same for each: a guess that errs towards small batches. */
async function batchFor(options: TrainFor, choice: BatchChoice): Promise<number> {
  const earlier = join(options.folder, 'recipe.yaml');
  if (existsSync(earlier))
    return (recipeFromYaml(readFileSync(earlier, 'utf8'), earlier) as { readonly batch: number })
      .batch;
  const { measured, from, steps } = choice;
  const folder = `${options.folder}-measured`;
  const times: number[] = [];
  await trainFor({
    ...options,
    changes: { ...options.changes, batch: measured, steps: COLD + WARM },
    ...{ folder, states: false },
    saveEvery: Number.POSITIVE_INFINITY,
    save: () => Promise.resolve(),
    onStep: () => times.push(now()),
  });
  rmSync(folder, { recursive: true, force: true });
  const one = (times.at(-1)! - times[COLD - 1]!) / (times.length - COLD);
  const most = (options.end - now()) / steps;
  const fits = from.filter((batch) => one * (0.5 + (0.5 * batch) / measured) <= most);
  const chosen = fits.at(-1) ?? from[0]!;
  say(`a step of ${measured} pictures takes ${(1000 * one).toFixed(0)} ms: batches of ${chosen}`);
  return chosen;
}
