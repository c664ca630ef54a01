import type { Preset, Recipe } from '@sdft/pipeline';
import { z } from 'zod';
import { augmentationSettings } from '../objectives/settings.ts';
import type { OverSettings } from '../over/settings.ts';

/** Its own, beside those of the method that it is over. */
export const ownSettings = z.strictObject({
  prompt: z
    .string()
    .min(1)
    .meta({
      flag: '--prompt <text>',
      description: 'caption of the pictures, with a rare word for the subject',
    })
    .optional(),
  ...augmentationSettings.shape,
});

/** What a recipe says of super-resolution. */
export interface Settings extends z.infer<typeof ownSettings> {
  readonly over?: OverSettings;
}

/** What does not go together, one sentence each. */
export function problemsOf(
  { prompt, over = {} }: Settings,
  recipe: Recipe,
  method: Preset,
): string[] {
  const { name: _, ...own } = over;
  const template = recipe.data?.template;
  const twice = prompt !== undefined && template !== undefined && template !== prompt;
  return [
    ...(method.problems?.(own, recipe) ?? []),
    ...(twice ? ['prompt and data.template say the same thing in different words: give one'] : []),
  ];
}
