/**
 * @file Trains the vocabulary of nano, in CLIP's format: `node --conditions=@sdft/source tools/nano/tokenizer/train.ts`, after data/render.ts. Writes `tools/nano/tokenizer/files`, which is
 * committed: the vocabulary must not change under a model.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { vocabularyFromMerges } from '@sdft/models';
import { artistNames } from '../data/artwork.ts';
import { promptOf } from '../data/captions.ts';
import { readPack } from '../data/pack.ts';

/** As CLIP writes them. */
const [endOfWord, startToken, endToken] = ['</w>', '<|startoftext|>', '<|endoftext|>'];

/** Merges; with 512 bytes and two marks they make the vocabulary. */
const MERGES = 1800;
/** What a word of every prompt counts, and one of the experiments' prompts, against one in a concept's tags. */
const [OFTEN, ALWAYS] = [4, 1000];
const otherWords =
  'outline in on riding suit space style picture photo person and with the an sits';

/** Words as CLIP's tokenizer cuts them, ends of contractions aside, with how often they occur. */
function wordsOf(texts: Iterable<readonly [text: string, count: number]>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [text, count] of texts)
    for (const [word] of text.toLowerCase().matchAll(/\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu))
      counts.set(word, (counts.get(word) ?? 0) + count);
  return counts;
}

/** The most frequent pair of neighbours becomes one piece, again and again; of equals the first in the alphabet (Sennrich et al. 2016, arXiv:1508.07909, algorithm 1). */
function trainMerges(counts: ReadonlyMap<string, number>, most: number): string[] {
  const words = [...counts].map(([word, count]) => {
    const pieces = [...word];
    pieces[pieces.length - 1] += endOfWord;
    return { pieces, count };
  });
  const merges: string[] = [];
  while (merges.length < most) {
    const pairs = new Map<string, number>();
    for (const { pieces, count } of words)
      for (let i = 1; i < pieces.length; i++) {
        const pair = `${pieces[i - 1]} ${pieces[i]}`;
        pairs.set(pair, (pairs.get(pair) ?? 0) + count);
      }
    const [best] = [...pairs].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
    if (!best) break;
    merges.push(best[0]);
    const [left, right] = best[0].split(' ');
    for (const word of words)
      for (let i = 1; i < word.pieces.length; i++)
        if (word.pieces[i - 1] === left && word.pieces[i] === right)
          word.pieces.splice(i - 1, 2, `${left}${right}`);
  }
  return merges;
}

const { pictures } = readPack(new URL('../.cache/pictures.pack', import.meta.url).pathname);
const concepts = new Map(
  pictures.flatMap((one) => (one.use === 'base' ? [[one.concept, one] as const] : [])),
);
const words = wordsOf([
  ...artistNames.map((artist) => [promptOf(artist, ''), ALWAYS] as const),
  [otherWords, ALWAYS] as const,
  ...[...concepts.values()].flatMap(({ label, tags }) => [
    [label, OFTEN] as const,
    ...tags.map((tag) => [tag, 1] as const),
  ]),
]);
// Only letters that CLIP's byte alphabet writes as themselves: others would need its stand-ins.
for (const word of words.keys()) if (!/^[\x21-\x7e]+$/.test(word)) words.delete(word);
const merges = trainMerges(words, MERGES);
const { vocab } = vocabularyFromMerges(merges);
const whole = [...words.keys()].filter((word) => vocab[word + endOfWord] !== undefined);

const folder = new URL('files/', import.meta.url);
mkdirSync(folder, { recursive: true });
const write = (name: string, text: string) => writeFileSync(new URL(name, folder), text);
const marks = {
  bos_token: startToken,
  eos_token: endToken,
  pad_token: endToken,
  unk_token: endToken,
};
write('vocab.json', `${JSON.stringify(vocab)}\n`);
write('merges.txt', `#version: 0.2\n${merges.join('\n')}\n`);
write('special_tokens_map.json', `${JSON.stringify(marks, undefined, 2)}\n`);
write(
  'tokenizer_config.json',
  `${JSON.stringify(
    {
      add_prefix_space: false,
      ...marks,
      do_lower_case: true,
      errors: 'replace',
      model_max_length: 77,
      tokenizer_class: 'CLIPTokenizer',
    },
    undefined,
    2,
  )}\n`,
);
console.log(
  `${Object.keys(vocab).length} pieces; ${whole.length} of ${words.size} words are one of them`,
);
