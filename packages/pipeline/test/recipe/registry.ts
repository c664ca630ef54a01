/** @file A method as recipes know it, for tests of recipes. */
import { z } from 'zod';
import type { NamedObjective, Preset, Registry } from '../../src/index.ts';
import { denoise, lowRank } from '../support/small.ts';

export const preset: Preset = {
  name: 'low-rank',
  summary: 'two small factors',
  schema: z.strictObject({
    rank: z.int().min(1).meta({ flag: '--rank <n>', description: 'width of the factors' }),
    targets: z
      .array(z.string())
      .meta({ flag: '--targets <glob>', description: 'layers' })
      .optional(),
  }),
  flavours: ['diffusers', 'a1111'],
  defaults: (flavour) => ({
    optimizer: { name: 'adamw', lr: 1e-3, weightDecay: flavour === 'a1111' ? 0 : 0.02 },
    batch: 4,
  }),
  problems: ({ rank }, { batch = 1 }) =>
    Number(rank) > 8 && batch > 8 ? ['rank and batch are both large'] : [],
  assemble: () => ({
    name: 'low-rank',
    options: {},
    adapters: [lowRank()],
    objective: denoise,
  }),
  example: '--rank 4',
};

const objective: NamedObjective = {
  name: 'denoise',
  summary: 'the predicted noise',
  schema: z.strictObject({ snrGamma: z.number().positive().optional() }),
  make: () => denoise,
};

export const registry: Registry = {
  presets: { 'low-rank': preset },
  objectives: { denoise: objective },
};
