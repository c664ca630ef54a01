/** @file What the base makes of prompts whose pictures are known. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { type GenerateOptions, openBase, openGenerator } from '@sdft/methods';
import { draws } from '@sdft/tensor';
import ndarray, { type NdArray } from 'ndarray';
import { promptOf } from '../data/captions.ts';
import { type Pack, type PackedPicture, SIDE } from '../data/pack.ts';

/** How pictures are drawn that are scored. */
export const drawing: GenerateOptions = { steps: 25, sampler: 'ddim', cfg: 4 };

/** A picture that somebody drew, and its place in the pack. */
export interface Wanted extends PackedPicture {
  readonly index: number;
}

/** `learned`: so many pictures that the base was trained on, by lot; `kept`: all pairs of artist and concept that it was not. In the order of the pack. */
export function wantedOf({ pictures }: Pack, count: number): Record<'learned' | 'kept', Wanted[]> {
  const all = pictures.map((picture, index) => ({ ...picture, index }));
  const learned = all.filter(({ use }) => use === 'base');
  const lots = draws(0).uniform('prompts', 0, [learned.length]).data;
  const chosen = learned
    .map((picture, i) => ({ picture, lot: lots[i]! }))
    .sort((a, b) => a.lot - b.lot)
    .slice(0, count)
    .map(({ picture }) => picture);
  return {
    learned: chosen.sort((a, b) => a.index - b.index),
    kept: all.filter(({ use }) => use === 'kept pair'),
  };
}

/**
 * One picture for each prompt, sRGB bytes [64,64,3]; the seed is its place in the row.
 *
 * @param file keeps them: what lies there already is not drawn again
 */
export async function drawn(
  model: string,
  wanted: readonly Wanted[],
  file?: string,
): Promise<NdArray<Uint8Array>[]> {
  const bytes = 3 * SIDE * SIDE;
  if (file === undefined || !existsSync(file)) {
    await using generator = await openGenerator(await openBase(model));
    const all = new Uint8Array(wanted.length * bytes);
    for (const [seed, { artist, label }] of wanted.entries()) {
      const [one] = await generator.generate(promptOf(artist, label), { ...drawing, seed });
      all.set(one!.picture.data, seed * bytes);
    }
    if (file === undefined) return split(all);
    writeFileSync(file, all);
  }
  return split(readFileSync(file));

  function split(all: Uint8Array): NdArray<Uint8Array>[] {
    return wanted.map((_, i) => ndarray(all.slice(i * bytes, (i + 1) * bytes), [SIDE, SIDE, 3]));
  }
}
