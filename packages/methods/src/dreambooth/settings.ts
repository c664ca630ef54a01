import type { Method, Needs, PlainRecord, Preset, Recipe } from '@sdft/pipeline';
import { z } from 'zod';
import { denoiseSettings } from '../objectives/settings.ts';

const ownSettings = z.strictObject({
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
  /** The method it is over, by its name, and that one's settings. */
  readonly over?: PlainRecord & { readonly name?: string };
}

/** A setting of every recipe, which methods may read as their own. */
const shared = 'flavour';

/**
 * What a recipe can say of a DreamBooth over a method, whose own settings stand under `over`.
 *
 * @param names of the methods that it may name
 */
export function settingsSchema({ schema }: Preset, names: readonly string[]): z.ZodObject {
  const { [shared]: flavour, ...shape } = schema.shape;
  const others = Object.entries(shape).filter(
    ([key]) => !Object.hasOwn(denoiseSettings.shape, key),
  );
  return ownSettings.extend({
    ...(flavour && { [shared]: flavour }),
    over: z
      .strictObject({
        name: z
          .enum(names)
          .meta({
            flag: '--over <method>',
            description: 'the method whose adapter is trained; full by default',
          })
          .optional(),
        ...Object.fromEntries(others),
      })
      .meta({ description: 'what is trained: a method by its name, with its settings' })
      .optional(),
    ...denoiseSettings.shape,
  });
}

/** Settings given in code, as a recipe holds them. */
export function settingsOf({
  over,
  ...settings
}: Omit<Settings, 'over'> & { readonly over?: Method<Needs> | undefined }): PlainRecord {
  const { [shared]: flavour, ...own } = over?.options ?? {};
  const all = { ...settings, [shared]: flavour, over: over && { name: over.name, ...own } };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
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
