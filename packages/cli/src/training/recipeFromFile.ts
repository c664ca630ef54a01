import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type RecipeFlag, recipeFromYaml } from '@sdft/methods';
import { explainFileError } from '@sdft/models/node';
import { UsageError } from '../failures/usageError.ts';
import { setAt } from './recipeFlags.ts';

/** A recipe as it was given, not yet checked. */
export interface GivenRecipe {
  readonly recipe: Readonly<Record<string, unknown>>;
  /** Folder that its relative paths start from; '' is the working directory. */
  readonly relativeTo: string;
  /** The file, for messages. */
  readonly where?: string;
  /** The flags that it was given as. */
  readonly flags?: readonly RecipeFlag[];
}

/**
 * Reads a recipe file and makes the changes of `--set`. Without a file, a run that is resumed has one.
 * @throws UserError where there is none, it cannot be read, or a change is malformed
 */
export async function recipeFromFile(
  file: string | undefined,
  { resume, set = [] }: { readonly resume?: string; readonly set?: readonly string[] },
): Promise<GivenRecipe> {
  const path = file ?? (resume === undefined ? undefined : join(resume, 'recipe.yaml'));
  if (path === undefined)
    throw new UsageError(
      'say what to train: a method, such as sdft train textual-inversion, or a recipe file. See sdft train --help',
    );
  // Not at once: reading a pipe may take long, and Ctrl-C shall end it.
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw explainFileError(path, error);
  });
  const recipe = recipeFromYaml(text, path);
  if (typeof recipe !== 'object' || recipe === null || Array.isArray(recipe))
    throw new UsageError(`${path}: a recipe holds settings by name, such as base: nano`);
  const changed = recipe as Record<string, unknown>;
  for (const change of set) {
    const [, key = '', value = ''] = /^([^=]*)=(.*)$/s.exec(change) ?? [];
    if (key.trim() === '')
      throw new UsageError(`--set ${change}: must be KEY=VALUE, such as optimizer.lr=1e-3`);
    setAt(changed, key.trim().split('.'), recipeFromYaml(value, `--set ${change}`));
  }
  return { recipe: changed, relativeTo: dirname(path), where: path };
}
