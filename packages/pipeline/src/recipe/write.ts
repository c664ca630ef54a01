import { stringify } from 'yaml';
import { z } from 'zod';
import { recipeSchema } from './parse.ts';
import type { Registry } from './preset.ts';
import type { Recipe } from './schema.ts';

/** A recipe as the text of a YAML file, which `parseRecipe` reads back equal. */
export const recipeYaml = (recipe: Recipe): string => stringify(recipe, { lineWidth: 0 });

/** JSON Schema (draft 2020-12) of recipe files, for editors: one alternative for each preset, and one for adapters with an objective. */
export function recipeJsonSchema({ presets }: Pick<Registry, 'presets'>): object {
  const alternatives = Object.values(presets)
    .flatMap((preset) => Object.values(preset.variants?.of ?? { preset }))
    .map((preset) =>
      z.toJSONSchema(
        recipeSchema(preset).extend({ method: z.literal(preset.name).describe(preset.summary) }),
        { io: 'input' },
      ),
    );
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'A recipe of sdft',
    anyOf: [
      ...alternatives,
      z.toJSONSchema(recipeSchema().omit({ method: true }), { io: 'input' }),
    ].map(({ $schema: _, ...schema }) => schema),
  };
}
