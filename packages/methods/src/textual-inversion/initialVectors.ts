/** @file What the vectors of a new word start as. */
import type { InitContext } from '@sdft/pipeline';
import { hostArray, type HostArray, UserError } from '@sdft/tensor';

/** How vectors start, read from a setting. */
export type VectorInit =
  | { readonly kind: 'word'; readonly word: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'zeros' }
  | { readonly kind: 'random'; readonly std: number | undefined };

/**
 * Reads `zeros`, `random`, `random:STD`, `text:"some words"`, or else a word.
 *
 * @throws UserError where a standard deviation or text is missing
 */
export function parseVectorInit(setting: string): VectorInit {
  if (setting === 'zeros') return { kind: 'zeros' };
  if (setting === 'random') return { kind: 'random', std: undefined };
  if (setting.startsWith('random:')) {
    const std = Number(setting.slice('random:'.length));
    if (!(std > 0) || !Number.isFinite(std))
      throw new UserError(
        `init "${setting}": after random: a standard deviation is expected, such as random:0.02`,
      );
    return { kind: 'random', std };
  }
  if (setting.startsWith('text:')) {
    const text = setting.slice('text:'.length).replace(/^"(.*)"$/s, '$1');
    return { kind: 'text', text };
  }
  if (setting.trim() === '')
    throw new UserError(
      'init is empty: name a word to start from, or zeros, random, text:"some words"',
    );
  return { kind: 'word', word: setting };
}

/**
 * First values of `vectors` rows [vectors, width].
 *
 * A word must be one token, whose row is copied to every vector (diffusers, `textual_inversion.py`). Of a text as many tokens as there are vectors are taken, and vector i is
 * row floor(i length / vectors) of them (A1111, `create_embedding`); no text gives zeros. In the flavour `a1111` a word is a text.
 *
 * @param table path of the frozen embedding, without `.weight`
 * @throws UserError where a word is several tokens
 */
export function initialVectors(
  init: VectorInit,
  shape: readonly [vectors: number, width: number],
  table: string,
  context: InitContext,
): HostArray {
  const [vectors, width] = shape;
  const rows = (ids: readonly number[]) => context.weight(`${table}.weight`, ids);
  switch (init.kind) {
    case 'zeros':
      return hostArray(new Float32Array(vectors * width), shape) as HostArray;
    case 'random': {
      const std = init.std ?? deviationOf(context.weight(`${table}.weight`));
      const drawn = context.draw.normal('value', shape);
      return hostArray(
        Float32Array.from(drawn.data, (z) => std * z),
        shape,
      ) as HostArray;
    }
    case 'word': {
      if (context.flavour === 'a1111')
        return initialVectors({ kind: 'text', text: init.word }, shape, table, context);
      const ids = context.tokenize(init.word);
      if (ids.length !== 1)
        throw new UserError(
          `init "${init.word}" is ${ids.length} tokens of this vocabulary (${context.pieces(init.word).join(' ')}); name a word that is one, or start from all of them with text:"${init.word}"`,
        );
      return rows(Array.from({ length: vectors }, () => ids[0]!));
    }
    case 'text': {
      const ids = context.tokenize(init.text).slice(0, vectors);
      if (ids.length === 0) return hostArray(new Float32Array(vectors * width), shape) as HostArray;
      return rows(
        Array.from({ length: vectors }, (_, i) => ids[Math.floor((i * ids.length) / vectors)]!),
      );
    }
  }
}

/** Standard deviation of all elements. */
function deviationOf({ data }: HostArray): number {
  let sum = 0;
  let squares = 0;
  for (const value of data) {
    sum += value;
    squares += value * value;
  }
  return Math.sqrt(squares / data.length - (sum / data.length) ** 2);
}
