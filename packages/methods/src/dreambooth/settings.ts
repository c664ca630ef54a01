import type { Preset, Recipe } from '@sdft/pipeline';
import { z } from 'zod';
import type { OverSettings } from '../over/settings.ts';

/** Its own, beside those of the method that it is over. */
export const ownSettings = z.strictObject({
  prompt: z
    .string()
    .min(1)
    .meta({
      flag: '--prompt <text>',
      description:
        'caption of the subject\'s pictures, with a rare word for it: "a photo of sks dog"',
    })
    .optional(),
  classPrompt: z
    .string()
    .min(1)
    .meta({
      flag: '--class-prompt <text>',
      description:
        'caption of the class pictures, from which missing ones are drawn: "a photo of a dog"',
    })
    .optional(),
  classCount: z
    .int()
    .min(1)
    .meta({
      flag: '--class-count <n>',
      description: 'how many class pictures there shall be; 100 by default where there is a prompt',
    })
    .optional(),
  classSteps: z
    .int()
    .min(1)
    .meta({ flag: '--class-steps <n>', description: 'sampler steps of those that are drawn' })
    .optional(),
  priorWeight: z
    .number()
    .min(0)
    .meta({
      flag: '--prior-weight <x>',
      description: 'what the loss of the class pictures counts; 1 by default',
    })
    .optional(),
});

/** What a recipe says of a DreamBooth. */
export interface Settings extends z.infer<typeof ownSettings> {
  readonly over?: OverSettings;
}

/** What does not go together, one sentence each. */
export function problemsOf(settings: Settings, recipe: Recipe, method: Preset): string[] {
  const { prompt, classPrompt, classCount, classSteps, priorWeight, over = {} } = settings;
  const { template, classImages } = recipe.data ?? {};
  const { name: _, ...own } = over;
  const twice = [
    ['prompt', prompt, 'data.template', template],
    ['classPrompt', classPrompt, 'data.classImages.caption', classImages?.caption],
    ['classCount', classCount, 'data.classImages.count', classImages?.count],
    ['classSteps', classSteps, 'data.classImages.steps', classImages?.steps],
  ].flatMap(([name, value, other, said]) =>
    value === undefined || said === undefined || value === said
      ? []
      : [`${name} and ${other} say the same thing in different words: give one`],
  );
  const aimless = priorWeight !== undefined && classPrompt === undefined && !classImages;
  const missing =
    'priorWeight asks for prior preservation, and there are no class pictures: give a class prompt for the base to draw from, such as "a photo of a dog" (classPrompt), or say where they are (data.classImages.images)';
  return [
    ...(method.problems?.(own, recipe) ?? []),
    ...twice,
    ...(aimless && recipe.data ? [missing] : []),
  ];
}
