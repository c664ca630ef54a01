/** @file Everything that recipes can name, and recipes read and run with it. */
import {
  buildRun as build,
  type LearnedKind,
  type NamedObjective,
  type Needs,
  type Objective,
  parseRecipe as parse,
  type Preset,
  type Recipe,
  recipeJsonSchema as jsonSchema,
  type Registry,
  type Run,
  type RunOptions,
} from '@sdft/pipeline';
import { z } from 'zod';
import { fullPreset } from './full/fullFineTune.ts';
import { denoise } from './objectives/denoise.ts';
import { denoiseSettings } from './objectives/settings.ts';
import { withPrior } from './objectives/withPrior.ts';
import { embeddingKind } from './textual-inversion/embeddingKind.ts';
import { textualInversionPreset } from './textual-inversion/textualInversion.ts';

/** Methods by the name of their command. */
export const presets: Readonly<Record<string, Preset>> = {
  'textual-inversion': textualInversionPreset as Preset,
  full: fullPreset as Preset,
};

/** Files that `generate` takes, by the name of their flag. */
export const learnedKinds: Readonly<Record<string, LearnedKind>> = { embedding: embeddingKind };

const withPriorSettings = z.strictObject({
  weight: z.number().min(0).optional(),
  of: z.looseObject({ name: z.string() }).optional(),
});

/** Objectives by name. */
export const objectives: Readonly<Record<string, NamedObjective>> = {
  denoise: {
    name: 'denoise',
    summary: 'the squared error of the predicted noise (or v) at random timesteps',
    schema: denoiseSettings,
    make: (settings): Objective<Needs> => denoise(settings),
  },
  'with-prior': {
    name: 'with-prior',
    summary:
      'another objective on pictures of the class as well, so that the class is not forgotten',
    schema: withPriorSettings,
    make: ({ weight, of = { name: 'denoise' } }, inner): Objective<Needs> =>
      withPrior(inner(of as { name: string }), { weight: weight as number | undefined }),
  },
};

const registry: Registry = { presets, objectives };

/**
 * Reads a recipe: YAML, or an object that one could hold.
 *
 * @param where the file, for messages
 * @throws UserError with every problem at once, unknown settings with the nearest known one
 */
export const parseRecipe = (input: unknown, where?: string): Recipe =>
  parse(input, registry, where);

/** The run that a recipe describes: everything is checked, nothing is computed. Throws UserError with every problem at once. */
export const buildRun = (recipe: Recipe, options?: RunOptions): Promise<Run> =>
  build(recipe, registry, options);

/** JSON Schema of recipe files, for editors. */
export const recipeJsonSchema = (): object => jsonSchema(registry);
