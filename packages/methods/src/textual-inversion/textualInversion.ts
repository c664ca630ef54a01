import type { Adapter, Method } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import { denoise, type DenoiseOptions } from '../objectives/denoise.ts';
import { embeddingFiles } from './embeddingFiles.ts';
import { initialVectors, parseVectorInit } from './initialVectors.ts';

export interface TextualInversionOptions extends DenoiseOptions {
  /** The new word, as prompts will spell it: `<boy>`. It must be no word of the vocabulary. */
  readonly token: string;
  /**
   * What the vectors start as: a word that is one token (`boy`), `text:"some words"`, `zeros`, or `random`, `random:STD` (by default with the standard deviation of the
   * vocabulary's own vectors). Not needed where values come from a file.
   */
  readonly init?: string | undefined;
  /** How many vectors the word has, 1 to 75. Default 1. */
  readonly vectors?: number | undefined;
  /** Whose rules apply to `init`: with `a1111` a bare word is a text. Default `diffusers`. */
  readonly flavour?: 'diffusers' | 'a1111' | undefined;
  /** Its own learning rate; by default the optimizer's. */
  readonly lr?: number | undefined;
  /** By default the optimizer's. */
  readonly weightDecay?: number | undefined;
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
  const { token, vectors = 1, flavour = 'diffusers', lr, weightDecay } = options;
  const { snrGamma, snrWeightForV, noiseOffset } = options;
  if (!Number.isInteger(vectors) || vectors < 1 || vectors > 75)
    throw new UserError(
      `textual inversion: vectors must be a whole number from 1 to 75, got ${vectors}`,
    );
  if (typeof token !== 'string' || token === '')
    throw new UserError('textual inversion: token is missing; name the new word, such as "<boy>"');
  const parsed = options.init === undefined ? undefined : parseVectorInit(options.init);
  const init =
    parsed?.kind === 'word' && flavour === 'a1111'
      ? { kind: 'text' as const, text: parsed.word }
      : parsed;
  const adapter: Adapter = {
    name: 'textual-inversion',
    at: table,
    tokens: [{ token, vectors }],
    ...(lr !== undefined && { lr }),
    ...(weightDecay !== undefined && { weightDecay }),
    files: embeddingFiles(token),
    init: ({ path, out }) => ({
      vectors: {
        shape: [vectors, out],
        values: (context) => {
          if (init) return initialVectors(init, [vectors, out], path, context);
          throw new UserError(
            `textual inversion of "${token}": init is missing; start from a word (init: boy), text:"some words", zeros or random, or from a file`,
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
  const settings = Object.fromEntries(
    Object.entries({ ...options, flavour: undefined }).filter(([, value]) => value !== undefined),
  );
  return {
    ...adapter,
    options: settings,
    adapters: [{ ...adapter, options: settings }],
    objective: denoise({ snrGamma, snrWeightForV, noiseOffset }),
  };
}
