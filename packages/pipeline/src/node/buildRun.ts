import { compose } from '../recipe/composition.ts';
import { checkRecipe } from '../recipe/parse.ts';
import type { Registry } from '../recipe/preset.ts';
import { Problems } from '../recipe/problems.ts';
import type { Recipe } from '../recipe/schema.ts';
import type { Run } from '../run/run.ts';
import { assembleRun, type RunOptions } from './assembleRun.ts';

/**
 * Builds the run that a recipe describes: checks everything, plans the step, and computes nothing.
 *
 * @throws UserError with every problem at once
 */
export async function buildRun(
  recipe: Recipe,
  registry: Registry,
  options: RunOptions = {},
): Promise<Run> {
  const problems = new Problems();
  const checked = checkRecipe(recipe, registry, problems);
  problems.throw();
  const composition = await compose(checked!, registry, {}, problems);
  problems.throw();
  return assembleRun(composition!, options);
}
