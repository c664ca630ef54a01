import { UserError } from '@sdft/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import { clipTokenizer } from '../../src/node/tokenizerFiles.ts';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { fixture } from './fixtures.ts';

let clip: Tokenizer;
beforeAll(async () => {
  clip = await clipTokenizer();
});

describe('encodeChunks', () => {
  it('cuts as A1111 does', () => {
    const { placeholders, texts, cases } = fixture<{
      placeholders: [string, number][];
      texts: string[];
      cases: [text: number, commaBacktrack: number, padId: number, chunks: number[][]][];
    }>('tokenizer/chunks.json');
    const tokenizer = placeholders.reduce(
      (each, [token, n]) => each.withPlaceholder(token, n),
      clip,
    );
    for (const [index, commaBacktrack, padId, chunks] of cases) {
      const whole = chunks.map((ids) => [
        ...ids,
        ...Array<number>(77 - ids.length).fill(ids.at(-1)!),
      ]);
      const got = tokenizer.encodeChunks(texts[index]!, { commaBacktrack, padId });
      expect(got, `${texts[index]} (${commaBacktrack}, ${padId})`).toEqual(whole);
    }
  });

  it('is encodePadded where the text fits', () => {
    for (const padId of [49407, 0]) {
      expect(clip.encodeChunks('a photo of a cat', { padId })).toEqual([
        clip.encodePadded('a photo of a cat', { padId }).ids,
      ]);
    }
  });

  it('moves a placeholder after the last comma whole, where A1111 would lose it', () => {
    const tokenizer = clip.withPlaceholder('<cup>', 3);
    const [first, second] = tokenizer.encodeChunks(`${'cat '.repeat(69)}, a <cup> dog dog`);
    expect(first!.slice(70, 72)).toEqual([267, 49407]);
    expect(second!.slice(0, 7)).toEqual([49406, 320, 49408, 49409, 49410, 1929, 1929]);
  });

  it('refuses a placeholder that no chunk can hold', () => {
    expect(() => clip.withPlaceholder('<x>', 9).encodeChunks('a', { length: 8 })).toThrow(
      UserError,
    );
  });
});
