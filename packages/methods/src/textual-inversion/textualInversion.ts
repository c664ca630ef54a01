import type { Adapter, Method, Preset } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import { denoise, type DenoiseOptions } from '../objectives/denoise.ts';
import { embeddingFiles } from './embeddingFiles.ts';
import { initialVectors, parseVectorInit } from './initialVectors.ts';
import { settingsSchema } from './settings.ts';

export interface TextualInversionOptions extends DenoiseOptions {
  /** The new word, as prompts will spell it: `<boy>`. It must be no word of the vocabulary. */
  readonly token: string;
  /**
   * What the vectors start as: a word that is one token (`boy`), `text:"some words"`, `zeros`, or `random`, `random:STD` (by default with the standard deviation of the
   * vocabulary's own vectors). In the flavour `a1111` a bare word is a text. Not needed where values come from a file.
   */
  readonly init?: string | undefined;
  /** How many vectors the word has, 1 to 75. Default 1. */
  readonly vectors?: number | undefined;
}

/** Where new words attach. */
const table = 'text_encoder.text_model.embeddings.token_embedding';

/**
 * Textual Inversion (Gal et al. 2022): teaches the text encoder a new word, whose vectors [vectors, width] are all that is trained. They stand in for the rows after the
 * last one of the token embedding, which itself stays a constant of the graph: there is nothing that could change it.
 *
 * An adapter, and a method with the objective `denoise`.
 *
 * @throws UserError for settings out of range
 */
export function textualInversion(options: TextualInversionOptions): Adapter & Method {
  const { token, vectors = 1 } = options;
  if (typeof token !== 'string' || token === '')
    throw new UserError('textual inversion: token is missing; name the new word, such as "<boy>"');
  if (!Number.isInteger(vectors) || vectors < 1 || vectors > 75)
    throw new UserError(
      `textual inversion: vectors must be a whole number from 1 to 75, got ${vectors}`,
    );
  const init = options.init === undefined ? undefined : parseVectorInit(options.init);
  const settings = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  );
  const adapter: Adapter = {
    name: 'textual-inversion',
    options: settings,
    at: table,
    tokens: [{ token, vectors }],
    files: embeddingFiles(token),
    init: ({ path, out }) => ({
      vectors: {
        shape: [vectors, out],
        values: (context) => {
          if (init) return initialVectors(init, [vectors, out], path, context);
          throw new UserError(
            `textual inversion of "${token}": init is missing; start from a word (init: boy), text:"some words", zeros or random, or from a file (initFrom)`,
          );
        },
      },
    }),
    wrap:
      (words, { vectors: learned }) =>
      (ids) => {
        // Words that later adapters teach are taken care of already.
        const own = ids.greater(words.in - 1);
        const frozen = words(own.where(0, ids));
        return own.unsqueeze(-1).where(learned!.gather(own.where(ids.sub(words.in), 0)), frozen);
      },
  };
  return {
    ...adapter,
    options: settings,
    adapters: [adapter],
    objective: denoise(options),
    preset: textualInversionPreset,
  };
}

/** Textual Inversion as recipes and the command line know it. */
export const textualInversionPreset: Preset<typeof settingsSchema> = {
  name: 'textual-inversion',
  summary: 'teach the text encoder a new word for what your pictures show',
  schema: settingsSchema,
  flavours: ['diffusers', 'a1111'],
  // Rates: the command in diffusers' README, and A1111's form. Steps are ours: the scripts' 5,000 and 100,000 are meant for long evenings.
  defaults: (flavour) =>
    flavour === 'a1111'
      ? { optimizer: { name: 'adamw', lr: 5e-3, weightDecay: 0 }, steps: 2000 }
      : { optimizer: { name: 'adamw', lr: 5e-4, weightDecay: 0.01 }, steps: 2000 },
  problems: ({ token, init }, { initFrom }) =>
    init === undefined && initFrom === undefined
      ? [
          `init is missing: say what the vectors of ${token} start as: a word (init: boy), text:"some words", zeros or random, or a file (initFrom)`,
        ]
      : [],
  assemble: textualInversion,
  example:
    '--base nano --images photos/boy --token "<boy>" --init boy --template "a drawing of {}" --steps 500 --out boy.safetensors',
};
