import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseRecipe, type Recipe, type Run } from '@sdft/methods';
import type { RunOptions } from '../commands/train.ts';
import { UsageError } from '../failures/usageError.ts';
import type { Output } from '../terminal/output.ts';
import type { GivenRecipe } from './recipeFromFile.ts';

/**
 * The recipe of a run that may be resumed: where it leaves the seed to chance, the seed that the run began with.
 * @throws UsageError where the flags do not go with resuming
 */
export function resumable(
  recipe: GivenRecipe['recipe'],
  { resume, record, logDir }: Pick<RunOptions, 'resume' | 'record' | 'logDir'>,
): GivenRecipe['recipe'] {
  if (resume === undefined) return recipe;
  if (record !== undefined)
    throw new UsageError(
      '--record holds a run from its first step; leave it out when going on with --resume',
    );
  if (logDir !== undefined && logDir !== resume)
    throw new UsageError('--resume goes on in its own folder; leave --log-dir out');
  const stored = join(resume, 'recipe.yaml');
  if (recipe['seed'] !== undefined || !existsSync(stored)) return recipe;
  const { seed } = parseRecipe(readFileSync(stored, 'utf8'), stored) as Recipe;
  return seed === undefined ? recipe : { ...recipe, seed };
}

/** Goes on from the newest state in `folder`, and says so. */
export async function resume(run: Run, folder: string, output: Output): Promise<void> {
  const step = existsSync(folder) ? await run.resume(folder) : 0;
  output.note(
    step === 0
      ? `${folder}: there is no state yet, so the run begins at the beginning`
      : `${folder}: going on after step ${step}`,
  );
}
