/** @file Class pictures that a recipe asks for, drawn before its run begins. */
import {
  type Backend,
  makeClassImages,
  type MissingClassImages,
  missingClassImages,
  parseRecipe,
  type Recipe,
} from '@sdft/methods';
import { Interrupted } from '../failures/status.ts';
import type { Output } from '../terminal/output.ts';
import type { GivenRecipe } from './recipeFromFile.ts';

/** What has to be drawn before a run can begin. */
export interface Drawing extends MissingClassImages {
  /** The recipe, its seed settled: pictures and run share it. */
  readonly given: GivenRecipe & { readonly recipe: Recipe };
  /** Whether the seed was left to chance. */
  readonly byChance: boolean;
}

/** The class pictures that are missing; undefined where none are, or none are needed. Throws UserError where the recipe is wrong, or they cannot be drawn. */
export async function drawingFor(
  given: GivenRecipe,
  { replay }: { readonly replay?: string },
): Promise<Drawing | undefined> {
  if (replay !== undefined) return undefined;
  const recipe = parseRecipe(given.recipe, '');
  const missing = await missingClassImages(recipe, given.relativeTo);
  const seed = recipe.seed ?? Math.floor(Math.random() * 2 ** 32);
  return (
    missing && {
      ...missing,
      given: { ...given, recipe: { ...recipe, seed } },
      byChance: recipe.seed === undefined,
    }
  );
}

/**
 * Draws them, with a progress line.
 * @throws UserError where the base or the disk fails, Interrupted where `signal` ends it
 */
export async function draw(
  { given, folder, prompt, count, there: before, byChance }: Drawing,
  output: Output,
  { backend, signal }: { readonly backend: Backend; readonly signal: AbortSignal },
): Promise<void> {
  const { seed } = given.recipe;
  output.note(
    `class images: ${before} of ${count} are there; drawing ${count - before} of "${prompt}" into ${folder}, seed ${seed}`,
  );
  let line: ReturnType<Output['progress']> | undefined;
  let done = before;
  try {
    await makeClassImages(given.recipe, {
      ...{ relativeTo: given.relativeTo, backend, signal },
      onProgress: ({ there, steps, file }) => {
        done = there;
        line ??= output.progress({ title: 'class images', total: (count - before) * steps });
        if (file === undefined)
          line.step({ details: [`picture ${there - before + 1} of ${count - before}`] });
      },
    });
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    output.end();
  }
  if (signal.aborted)
    throw new Interrupted(
      `interrupted; ${done} of ${count} class images are there, in ${folder}\nThe same command goes on with the next one${byChance ? `; with --seed ${seed} it draws what this one would have drawn` : ''}`,
    );
}
