import { UserError } from '@sdft/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import { clipTokenizer } from '../../src/node/tokenizerFiles.ts';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { vocabularyFromMerges } from '../../src/tokenizer/vocabulary.ts';
import { fixture } from './fixtures.ts';

let clip: Tokenizer;
beforeAll(async () => {
  clip = await clipTokenizer();
});
const content = (tokenizer: Tokenizer, text: string) => tokenizer.encode(text).ids.slice(1, -1);

describe('placeholders', () => {
  it('are found where transformers finds added tokens, and stand for all their vectors', () => {
    const { placeholders, cases } = fixture<{
      placeholders: [string, number][];
      cases: [string, number[]][];
    }>('tokenizer/placeholders.json');
    const tokenizer = placeholders.reduce(
      (each, [token, n]) => each.withPlaceholder(token, n),
      clip,
    );
    for (const [text, ids] of cases) expect(content(tokenizer, text), text).toEqual(ids);
  });

  it('are numbered from the size upward and named as in diffusers', () => {
    const one = clip.withPlaceholder('<cup>', 2);
    const two = one.withPlaceholder('<hat>', 1);
    expect([clip.size, one.size, two.size]).toEqual([49408, 49410, 49411]);
    expect([...two.placeholders]).toEqual([
      ['<cup>', [49408, 49409]],
      ['<hat>', [49410]],
    ]);
    expect(two.encode('<CUP><hat>').pieces.slice(1, -1)).toEqual(['<cup>', '<cup>_1', '<hat>']);
    expect(content(two, '<cup>_1')).toEqual([49409]);
  });

  it('leave the tokenizer they were added to as it was', () => {
    const before = content(clip, '<cup>');
    clip.withPlaceholder('<cup>', 2);
    expect(content(clip, '<cup>')).toEqual(before);
    expect(clip.placeholders.size).toBe(0);
  });

  it.each([
    ['a piece of the vocabulary', 'cat', 1, /"cat" is in the vocabulary already/],
    ['the same in capitals', 'Cat', 1, /"cat" is in the vocabulary already/],
    ['a special token', '<|endoftext|>', 1, /in the vocabulary already/],
    ['a placeholder', '<CUP>', 1, /"<cup>" is in the vocabulary already/],
    ["a placeholder's second vector", '<cup>_1', 1, /in the vocabulary already/],
    ['a number after a placeholder', '<cup>_7', 1, /differ by a number alone/],
    ['a placeholder without its number', '<pot>', 1, /differ by a number alone/],
    ['nothing', '', 1, /must not be empty/],
    ['white space at the end', 'cup ', 1, /white space/],
    ['no vector', '<x>', 0, /whole number from 1 to 75/],
    ['half a vector', '<x>', 1.5, /whole number from 1 to 75/],
    ['more vectors than a prompt holds', '<x>', 76, /whole number from 1 to 75/],
  ])('may not be %s', (_, token, vectors, message) => {
    const tokenizer = clip.withPlaceholder('<cup>', 2).withPlaceholder('<pot>_3', 1);
    expect(() => tokenizer.withPlaceholder(token, vectors)).toThrow(UserError);
    expect(() => tokenizer.withPlaceholder(token, vectors)).toThrow(message);
  });

  it('are taken over from a saved vocabulary', () => {
    const { vocab, merges } = vocabularyFromMerges(['c a', 'ca t</w>']);
    const size = Object.keys(vocab).length;
    const addedTokens = { '<cup>': size, '<cup>_1': size + 1, '<hat>': size + 2 };
    const tokenizer = createTokenizer({ vocab, merges, addedTokens });
    expect(tokenizer.size).toBe(size + 3);
    expect([...tokenizer.placeholders.keys()]).toEqual(['<cup>', '<hat>']);
    expect(content(tokenizer, 'cat <cup>')).toEqual([513, size, size + 1]);
    expect(() => tokenizer.withPlaceholder('<hat>', 1)).toThrow(UserError);
    expect(tokenizer.withPlaceholder('<dog>', 1).placeholders.get('<dog>')).toEqual([size + 3]);
  });
});
