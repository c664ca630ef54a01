import type { z } from 'zod';
import type { Method, Needs, Objective, PlainRecord } from '../contracts.ts';
import type { CommonSettings, Flavour, Recipe } from './schema.ts';

/** Values for settings that a recipe leaves out. */
export type Defaults = Partial<Omit<CommonSettings, 'base' | 'method' | 'flavour' | 'data'>> & {
  readonly data?: Partial<NonNullable<CommonSettings['data']>>;
};

/**
 * A method that can be named in a recipe and on the command line. Everything about it is data, so that reading a recipe and declaring flags need to know no method.
 */
export interface Preset<S extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  /** One line for people. */
  readonly summary: string;
  /** Its own settings; keys stand beside the common ones in a recipe. `flag` and `description` are in each setting's `meta`. */
  readonly schema: S;
  /** The flavours that it has, the default one first. */
  readonly flavours: readonly Flavour[];
  /** Common settings that a recipe leaves out, for a flavour; they may follow from what the recipe says. */
  defaults(flavour: Flavour, recipe: Recipe): Defaults;
  /** Problems that no single setting has, one sentence each. */
  problems?(settings: z.infer<S>, recipe: CommonSettings): readonly string[];
  /** The method with these settings. Throws UserError where they are out of range. */
  assemble(settings: z.infer<S>): Method<Needs>;
  /** A command, without `sdft train NAME`, that shows how it is used. */
  readonly example: string;
  /** What it is where one of its settings says so: this one, with other settings beside it. Recipes without that setting mean this one. */
  readonly variants?: {
    /** Where that setting stands in a recipe. */
    readonly by: readonly string[];
    readonly of: Readonly<Record<string, Preset>>;
  };
}

/** The preset that a recipe means: the one that it names, or a variant of that. */
export function presetOf(
  recipe: Readonly<Record<string, unknown>>,
  { presets }: Pick<Registry, 'presets'>,
): Preset | undefined {
  const { method } = recipe;
  if (typeof method !== 'string' || !Object.hasOwn(presets, method)) return undefined;
  return variantOf(presets[method]!, recipe);
}

/** A preset, or the variant of it that a recipe names. */
export function variantOf(preset: Preset, recipe: Readonly<Record<string, unknown>>): Preset {
  const { by, of } = preset.variants ?? { by: [], of: {} };
  const named = by.reduce<unknown>(
    (at, key) => (at as Readonly<Record<string, unknown>> | null | undefined)?.[key],
    recipe,
  );
  return typeof named === 'string' && Object.hasOwn(of, named) ? of[named]! : preset;
}

/** An objective that can be named in a recipe. */
export interface NamedObjective<S extends z.ZodObject = z.ZodObject> {
  readonly name: string;
  readonly summary: string;
  /** Its settings, `name` aside. */
  readonly schema: S;
  /**
   * The objective with these settings.
   *
   * @param inner makes the objective that a setting names, for objectives around another
   */
  make(settings: z.infer<S>, inner: (recipe: PlainRecord) => Objective<Needs>): Objective<Needs>;
}

/** What recipes can name. */
export interface Registry {
  readonly presets: Readonly<Record<string, Preset>>;
  readonly objectives: Readonly<Record<string, NamedObjective>>;
}
