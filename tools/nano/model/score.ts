/**
 * @file Asks the base for pictures, and the classifier what they show:
 *
 *     node --conditions=@sdft/source tools/nano/model/score.ts MODEL SCORES.json [--prompts 200]
 *
 * Prompts are pairs of artist and concept from the training set, drawn by lot, and all that were kept back; one picture each, seed 0, 1, ... in the order of the pack. What the classifier gets
 * right of them is set against what it gets right of real pictures that it never saw: nothing that is drawn can be named more surely than those.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type PromptPictures, scoresOf } from '@sdft/compare';
import { openClassifier } from '@sdft/compare/node';
import { type GenerateOptions, openBase, openGenerator } from '@sdft/methods';
import { draws } from '@sdft/tensor';
import ndarray from 'ndarray';
import { promptOf } from '../data/captions.ts';
import { readPack, SIDE } from '../data/pack.ts';

const options: GenerateOptions = { steps: 25, sampler: 'ddim', cfg: 4 };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { prompts: { type: 'string', default: '200' } },
});
const [model, file] = positionals as [string, string];
const pack = readPack(fileURLToPath(new URL('../.cache/pictures.pack', import.meta.url)));
const indexed = pack.pictures.map((picture, index) => ({ ...picture, index }));
const learned = indexed.filter(({ use }) => use === 'base');
const lots = draws(0).uniform('prompts', 0, [learned.length]).data;
const sets = {
  learned: learned
    .map((picture, i) => ({ picture, lot: lots[i]! }))
    .sort((a, b) => a.lot - b.lot)
    .slice(0, Number(values.prompts))
    .map(({ picture }) => picture)
    .sort((a, b) => a.index - b.index),
  kept: indexed.filter(({ use }) => use === 'kept pair'),
};
await using classifier = await openClassifier();
await using generator = await openGenerator(await openBase(model));
type Chosen = (typeof learned)[number];

/** The pictures themselves. */
const real = (pictures: readonly Chosen[]) =>
  pictures.map(({ index }) => ndarray(pack.pixels(index), [SIDE, SIDE, 3]));

/** What the base makes of their prompts. */
async function drawn(pictures: readonly Chosen[]) {
  const made = [];
  for (const [seed, { artist, label }] of pictures.entries()) {
    const [one] = await generator.generate(promptOf(artist, label), { ...options, seed });
    made.push(one!.picture);
  }
  return made;
}

/** Figures of pictures that shall show what these show. */
async function judged(wanted: readonly Chosen[], pictures: Awaited<ReturnType<typeof drawn>>) {
  const judgements = await classifier.classify(pictures);
  const prompts = wanted.map(
    ({ artist, label }, i): PromptPictures => ({
      ...{ artist, concept: label },
      judgements: [judgements[i]!],
    }),
  );
  const { style, concept, pictures: count } = scoresOf(prompts);
  return { pictures: count, style: style!, concept: concept! };
}

const ceiling = await judged(sets.kept, real(sets.kept));
const result: Record<string, unknown> = { 'real, kept': ceiling };
for (const [name, pictures] of Object.entries(sets)) {
  const found = await judged(pictures, await drawn(pictures));
  const share = (of: 'style' | 'concept') => Number((found[of] / ceiling[of]).toFixed(3));
  result[name] = { ...found, 'of real': { style: share('style'), concept: share('concept') } };
  console.log(name, JSON.stringify(result[name]));
}
writeFileSync(file, `${JSON.stringify({ ...options, ...result }, undefined, 1)}\n`);
