import type { Method, Needs, PlainRecord, Preset } from '@sdft/pipeline';
import { z } from 'zod';
import { denoiseSettings } from '../objectives/settings.ts';

/** What a recipe says of the method that another is over: its name, and its settings. */
export type OverSettings = PlainRecord & { readonly name?: string };

/** A setting of every recipe, which methods may read as their own. */
const shared = 'flavour';

/**
 * What a recipe can say of a method over another: its own settings, those of the other one under `over`, and those of the noise.
 *
 * @param names of the methods that it may name
 */
export function settingsOver(
  own: z.ZodObject,
  { schema }: Preset,
  names: readonly string[],
): z.ZodObject {
  const { [shared]: flavour, ...shape } = schema.shape;
  const others = Object.entries(shape).filter(
    ([key]) => !Object.hasOwn(denoiseSettings.shape, key),
  );
  return own.extend({
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
}: Readonly<Record<string, unknown>> & {
  readonly over?: Method<Needs> | undefined;
}): PlainRecord {
  const { [shared]: flavour, ...own } = over?.options ?? {};
  const all = { ...settings, [shared]: flavour, over: over && { name: over.name, ...own } };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** The method that another is over, with the settings that a recipe has for it. */
export function assembleOver(
  method: Preset,
  over: OverSettings = {},
  flavour?: unknown,
): Method<Needs> {
  const { name: _, ...given } = over;
  return method.assemble({ ...given, ...(flavour !== undefined && { flavour }) });
}

/**
 * A method over any of these.
 *
 * @param usual the one that a recipe means that names none
 * @param make the method over one of them, whose recipes may name the others
 */
export function presetOver(
  usual: Preset,
  methods: readonly Preset[],
  make: (method: Preset, names: readonly string[]) => Preset,
): Preset {
  const all = [...new Set([usual, ...methods])];
  const names = all.map(({ name }) => name);
  const of = Object.fromEntries(all.map((one) => [one.name, make(one, names)]));
  return { ...of[usual.name]!, variants: { by: ['over', 'name'], of } };
}
