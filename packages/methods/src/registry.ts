/** @file Everything that recipes can name, and recipes read and run with it. */
import {
  buildRun as build,
  type ClassImagesOptions,
  type LearnedKind,
  makeClassImages as drawMissing,
  type MissingClassImages,
  missingClassImages as missing,
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
import { autoencoderPreset } from './autoencoder/autoencoder.ts';
import { dreamBoothPreset } from './dreambooth/dreamBooth.ts';
import { fullPreset } from './full/fullFineTune.ts';
import { hypernetworkPreset } from './hypernetwork/hypernetwork.ts';
import { hypernetworkKind } from './hypernetwork/hypernetworkKind.ts';
import { loraPreset } from './lora/lora.ts';
import { loraKind } from './lora/loraKind.ts';
import { denoise } from './objectives/denoise.ts';
import { reconstruct } from './objectives/reconstruct.ts';
import {
  denoiseSettings,
  reconstructSettings,
  superResolveSettings,
} from './objectives/settings.ts';
import { superResolve } from './objectives/superResolve.ts';
import { withPrior } from './objectives/withPrior.ts';
import { embeddingKind } from './textual-inversion/embeddingKind.ts';
import { pivotalPreset } from './pivotal/pivotal.ts';
import { superResolutionPreset } from './super-resolution/superResolution.ts';
import { textualInversionPreset } from './textual-inversion/textualInversion.ts';

/** Methods that train something of their own, by the name of their command. */
const adapting = {
  'textual-inversion': textualInversionPreset as Preset,
  hypernetwork: hypernetworkPreset as Preset,
  full: fullPreset as Preset,
  lora: loraPreset as Preset,
  pivotal: pivotalPreset as Preset,
};

/** Methods by the name of their command. */
export const presets: Readonly<Record<string, Preset>> = {
  ...adapting,
  autoencoder: autoencoderPreset as Preset,
  dreambooth: dreamBoothPreset(adapting.full, Object.values(adapting)),
  'super-resolution': superResolutionPreset(adapting.full, Object.values(adapting)),
};

/** Files that `generate` takes, by the name of their flag. */
export const learnedKinds: Readonly<Record<string, LearnedKind>> = {
  embedding: embeddingKind,
  hypernetwork: hypernetworkKind,
  lora: loraKind,
};

const withPriorSettings = z.strictObject({
  weight: z
    .number()
    .min(0)
    .meta({ description: 'how much the pictures of the class count; 1 by default' })
    .optional(),
  of: z
    .looseObject({ name: z.string() })
    .meta({ description: 'the objective that is asked of both; denoise by default' })
    .optional(),
});

/** Objectives by name. */
export const objectives: Readonly<Record<string, NamedObjective>> = {
  denoise: {
    name: 'denoise',
    summary: 'the squared error of the predicted noise (or v) at random timesteps',
    schema: denoiseSettings,
    make: (settings): Objective<Needs> => denoise(settings),
  },
  'super-resolve': {
    name: 'super-resolve',
    summary:
      'denoise for models that enlarge pictures, which are given the picture reduced as well',
    schema: superResolveSettings,
    make: (settings): Objective<Needs> => superResolve(settings),
  },
  reconstruct: {
    name: 'reconstruct',
    summary: 'the difference between pictures and what the autoencoder makes of them',
    schema: reconstructSettings,
    make: (settings): Objective<Needs> => reconstruct(settings),
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

/** What is missing of a recipe's class pictures; undefined where nothing is, or none are asked for. Throws UserError where they cannot be drawn. */
export const missingClassImages = (
  recipe: Recipe,
  relativeTo?: string,
): Promise<MissingClassImages | undefined> => missing(recipe, registry, relativeTo);

/**
 * Draws the class pictures that a recipe asks for and that are not there yet, with its base as it is: each as a function of the seed and its number, whole or not at
 * all, so that it can be ended at any time and goes on with the next call.
 *
 * @returns the files that were written
 * @throws UserError where they cannot be drawn; `signal`'s reason where it ends the work
 */
export const makeClassImages = (recipe: Recipe, options?: ClassImagesOptions): Promise<string[]> =>
  drawMissing(recipe, registry, options);

/** JSON Schema of recipe files, for editors. */
export const recipeJsonSchema = (): object => jsonSchema(registry);
