/**
 * @file Asks the base for pictures, and the classifier what they show:
 *
 *     node --conditions=@sdft/source tools/nano/model/score.ts MODEL SCORES.json [--prompts 200] [--pictures PREFIX]
 *
 * Prompts are pairs of artist and concept from the training set, drawn by lot, and all that were kept back, one picture each. What the classifier gets right of them is set against what it gets
 * right of the real pictures that were kept back: nothing that is drawn can be named more surely than those. Pictures are kept in PREFIX-learned.bin and PREFIX-kept.bin.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { scoresOf } from '@sdft/compare';
import { openClassifier } from '@sdft/compare/node';
import ndarray, { type NdArray } from 'ndarray';
import { readPack, SIDE } from '../data/pack.ts';
import { drawing, drawn, type Wanted, wantedOf } from './drawn.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { prompts: { type: 'string', default: '200' }, pictures: { type: 'string' } },
});
const [model, file] = positionals as [string, string];
const pack = readPack(fileURLToPath(new URL('../.cache/pictures.pack', import.meta.url)));
const sets = wantedOf(pack, Number(values.prompts));
const pictures = new Map<string, NdArray<Uint8Array>[]>();
for (const [name, wanted] of Object.entries(sets)) {
  const kept = values.pictures === undefined ? undefined : `${values.pictures}-${name}.bin`;
  pictures.set(name, await drawn(model, wanted, kept));
}
await using classifier = await openClassifier();

/** Shares of pictures whose artist and concept come first. */
async function judged(wanted: readonly Wanted[], shown: readonly NdArray<Uint8Array>[]) {
  const judgements = await classifier.classify(shown);
  const prompts = wanted.map(({ artist, label }, i) => ({
    ...{ artist, concept: label },
    judgements: [judgements[i]!],
  }));
  const { style, concept } = scoresOf(prompts);
  return { pictures: shown.length, artist: rounded(style!), concept: rounded(concept!) };
}

const rounded = (x: number): number => Number(x.toFixed(3));

const own = sets.kept.map(({ index }) => ndarray(pack.pixels(index), [SIDE, SIDE, 3]));
const real = await judged(sets.kept, own);
const scores: Record<string, unknown> = { ...drawing, 'kept, real': real };
for (const [name, wanted] of Object.entries(sets)) {
  const found = await judged(wanted, pictures.get(name)!);
  const ofReal = {
    artist: rounded(found.artist / real.artist),
    concept: rounded(found.concept / real.concept),
  };
  scores[`${name}, drawn`] = { ...found, 'of real': ofReal };
}
console.log(scores);
writeFileSync(file, `${JSON.stringify(scores, undefined, 1)}\n`);
