import { fileURLToPath } from 'node:url';
import { UserError } from '@sdft/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import { clipTokenizer, readTokenizer } from '../../src/node/tokenizerFiles.ts';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { vocabularyFromMerges } from '../../src/tokenizer/vocabulary.ts';
import { processorMs } from '../processor.ts';
import { fixture } from './fixtures.ts';

type Cases = { cases: [text: string, ids: number[]][] };
const repository = new URL('../../../../', import.meta.url);
const nano = fileURLToPath(new URL('packages/nano/model/tokenizer', repository));

let clip: Tokenizer;
beforeAll(async () => {
  clip = await clipTokenizer();
});

const content = (tokenizer: Tokenizer, text: string) => tokenizer.encode(text).ids.slice(1, -1);
const wrong = (tokenizer: Tokenizer, { cases }: Cases) =>
  cases
    .map(([text, ids]) => ({ text, ids, got: content(tokenizer, text) }))
    .filter(({ ids, got }) => JSON.stringify(ids) !== JSON.stringify(got));

describe('ids', () => {
  it('are those of the goldens, uncut and padded to 77', () => {
    const { cases } = fixture<{
      cases: {
        text: string;
        ids: number[];
        ids77: number[];
        strict: boolean;
        alt_ids?: number[];
      }[];
    }>('goldens/tokenizer.json');
    expect(cases).toHaveLength(60);
    for (const { text, ids, ids77 } of cases) {
      expect(clip.encode(text).ids, text).toEqual(ids);
      expect(clip.encodePadded(text).ids, text).toEqual(ids77);
    }
  });

  it("are those of transformers with CLIP's vocabulary", () => {
    const cases = fixture<Cases>('tokenizer/clip.json');
    expect(cases.cases.length).toBeGreaterThan(200);
    expect(wrong(clip, cases)).toEqual([]);
  });

  it('are those of transformers with a vocabulary of 2,314 entries', async () => {
    const tokenizer = await readTokenizer(nano);
    expect(tokenizer.size).toBe(2314);
    const cases = fixture<Cases>('tokenizer/nano.json');
    expect(cases.cases.length).toBeGreaterThan(200);
    expect(wrong(tokenizer, cases)).toEqual([]);
  });

  it('come with the pieces of the vocabulary', () => {
    expect(clip.encode('A cat, 😀').pieces).toEqual([
      '<|startoftext|>',
      'a</w>',
      'cat</w>',
      ',</w>',
      'ðŁĺĢ</w>',
      '<|endoftext|>',
    ]);
  });
});

describe('the limit', () => {
  const words = Array.from({ length: 80 }, (_, i) => (i % 2 ? 'Cat,' : 'photo')).join(' ');

  it('says nothing where everything fits', () => {
    const fits = clip.encodePadded('cat '.repeat(75));
    expect(fits.truncated).toBeUndefined();
    expect(fits.ids).toHaveLength(77);
    expect(fits.ids[76]).toBe(clip.endId);
  });

  it('shows the text it cuts as the text has it', () => {
    expect(clip.encodePadded(`${'cat '.repeat(75)} Élan,  VITAL!`).truncated).toBe('Élan,  VITAL!');
    const { ids, truncated } = clip.encodePadded(words);
    expect(ids).toEqual([...clip.encode(words).ids.slice(0, 76), clip.endId]);
    expect(content(clip, truncated!)).toEqual(content(clip, words).slice(75));
  });

  it('cuts inside a word and never inside a character', () => {
    const full = 'cat '.repeat(74);
    const [first] = clip.encode('zyxwphotosynthesizer').pieces.slice(1);
    expect(clip.encodePadded(`${full}zyxwphotosynthesizer`).truncated).toBe(
      'zyxwphotosynthesizer'.slice(first!.length),
    );
    // U+20000 takes more than one id: the character whose beginning is kept is shown.
    expect(clip.encodePadded(`${full}\u{20000}`).truncated).toBe('\u{20000}');
    expect(clip.encodePadded(`${full}cafe\u0301 e\u0301`).truncated).toBe('e\u0301');
  });

  it('counts special tokens and placeholders as they stand in the text', () => {
    const tokenizer = clip.withPlaceholder('<My-Cup>', 4);
    expect(tokenizer.encodePadded(`<|endoftext|> <MY-CUP> ${'cat '.repeat(70)}dog`).truncated).toBe(
      'dog',
    );
    // Two of its four vectors fit; it is shown whole.
    const cut = tokenizer.encodePadded(`${'cat '.repeat(73)}<my-cup> dog`);
    expect(cut.ids.slice(74)).toEqual([49408, 49409, clip.endId]);
    expect(cut.truncated).toBe('<my-cup> dog');
  });

  it('shows a suffix that has exactly the ids that were cut, on mixed texts', () => {
    const { cases } = fixture<Cases>('tokenizer/clip.json');
    const long = cases.filter(([text, ids]) => ids.length > 85 && text.includes(' '));
    expect(long.length).toBeGreaterThan(8);
    for (const [text, ids] of long) {
      const { truncated } = clip.encodePadded(text);
      expect(text.trimEnd().endsWith(truncated!)).toBe(true);
      // A cut inside a word or character adds ids at the seam only.
      expect(content(clip, truncated!).slice(-(ids.length - 80)), text).toEqual(ids.slice(80));
    }
  });

  it('takes the length and the padding of the text encoder', () => {
    expect(clip.encodePadded('a cat', { length: 8, padId: 0 }).ids).toEqual([
      49406, 320, 2368, 49407, 0, 0, 0, 0,
    ]);
    expect(clip.encodePadded('a cat and a dog', { length: 5 })).toEqual({
      ids: [49406, 320, 2368, 537, 49407],
      truncated: 'a dog',
    });
    expect(() => clip.encodePadded('a', { length: 2 })).toThrow(UserError);
  });
});

describe('building', () => {
  it('is lazy, and quick enough for a command line', async () => {
    const start = processorMs();
    const tokenizer = await clipTokenizer();
    const built = processorMs() - start;
    tokenizer.encode('a');
    const first = processorMs() - start;
    // Measured: 85 ms and 150 ms.
    expect(first).toBeLessThan(1000);
    expect(built).toBeLessThan(first);
    const again = processorMs();
    tokenizer.withPlaceholder('<x>', 2).encode('<x>');
    expect(processorMs() - again).toBeLessThan(first / 4);
  });

  it('refuses a vocabulary that is not of CLIP', () => {
    expect(() => createTokenizer({ vocab: { a: 0 }, merges: [] })).toThrow(
      /<\|startoftext\|> is missing/,
    );
    const { vocab } = vocabularyFromMerges([]);
    expect(() => createTokenizer({ vocab: { ...vocab, x: 0.5 }, merges: [] })).toThrow(UserError);
  });
});
