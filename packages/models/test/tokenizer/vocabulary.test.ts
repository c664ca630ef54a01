import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '@sdft/tensor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { clipTokenizer, readTokenizer } from '../../src/node/tokenizerFiles.ts';
import { parseMerges, vocabularyFromMerges } from '../../src/tokenizer/vocabulary.ts';
import { readFileSync } from 'node:fs';
import { fixture } from './fixtures.ts';

const repository = new URL('../../../../', import.meta.url);
const folder = fileURLToPath(new URL('fixtures/goldens/tiny-sd/tokenizer', repository));

describe("CLIP's vocabulary", () => {
  it('follows from its merges', () => {
    const merges = parseMerges(readFileSync(join(folder, 'merges.txt'), 'utf8'));
    expect(merges).toHaveLength(48_894);
    const expected = fixture<Record<string, number>>('goldens/tiny-sd/tokenizer/vocab.json');
    const { vocab } = vocabularyFromMerges(merges);
    expect(Object.keys(vocab)).toHaveLength(49_408);
    expect(vocab).toEqual(expected);
  });

  it('is what the package ships', () => {
    const shipped = new URL('packages/models/assets/clip-tokenizer/merges.txt', repository);
    expect(readFileSync(shipped).equals(readFileSync(join(folder, 'merges.txt')))).toBe(true);
  });
});

describe('a tokenizer folder', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sdft-tokenizer-'));
  });
  afterEach(async () => {
    await rm(dir, { recursive: true });
  });
  const merges = ['c a', 'ca t</w>'];
  const { vocab } = vocabularyFromMerges(merges);
  const put = (name: string, content: unknown) =>
    writeFile(join(dir, name), typeof content === 'string' ? content : JSON.stringify(content));

  it('gives the tokenizer that the package ships', async () => {
    const [read, shipped] = [await readTokenizer(folder), await clipTokenizer()];
    expect(read.size).toBe(shipped.size);
    expect(read.encode("the cat's hat")).toEqual(shipped.encode("the cat's hat"));
  });

  it('may hold tokenizer.json alone', async () => {
    for (const form of [merges, merges.map((merge) => merge.split(' '))]) {
      await put('tokenizer.json', {
        model: { type: 'BPE', vocab, merges: form },
        added_tokens: [
          { id: 515, content: '<|endoftext|>' },
          { id: 516, content: '<cup>' },
        ],
      });
      expect((await readTokenizer(dir)).encode('CAT <cup>').ids).toEqual([514, 513, 516, 515]);
    }
  });

  it('may hold added tokens', async () => {
    await put('vocab.json', vocab);
    await put('merges.txt', `#version: 0.2\r\n${merges.join('\r\n')}\r\n`);
    await put('added_tokens.json', { '<cup>': 516 });
    expect((await readTokenizer(dir)).encode('<CUP>cat').ids).toEqual([514, 516, 513, 515]);
  });

  it.each([
    ['nothing', {}, /no tokenizer here/],
    ['a vocabulary without merges', { 'vocab.json': vocab }, /no tokenizer here/],
    ['broken JSON', { 'vocab.json': '{"a": ', 'merges.txt': 'a b' }, /vocab\.json: is not JSON/],
    ['a list for a vocabulary', { 'vocab.json': ['a'], 'merges.txt': 'a b' }, /expected an object/],
    [
      'an id that is no number',
      { 'vocab.json': { a: '0' }, 'merges.txt': 'a b' },
      /id of "a" is not a number/,
    ],
    [
      'a merge of three',
      { 'vocab.json': vocab, 'merges.txt': 'a b\na b c' },
      /merges\.txt, line 2: expected two/,
    ],
    [
      'another kind of tokenizer',
      { 'tokenizer.json': { model: { type: 'Unigram' } } },
      /no byte-pair model/,
    ],
    [
      "another model's vocabulary",
      { 'vocab.json': { a: 0 }, 'merges.txt': '' },
      /not the vocabulary of a CLIP/,
    ],
  ] as [string, Record<string, unknown>, RegExp][])(
    'with %s is refused',
    async (_, files, message) => {
      for (const [name, content] of Object.entries(files)) await put(name, content);
      await expect(readTokenizer(dir)).rejects.toThrow(UserError);
      await expect(readTokenizer(dir)).rejects.toThrow(message);
    },
  );
});
