/** @file What the classifier learns from, and what it is measured by. */
import { createHash } from 'node:crypto';
import { unseen } from '../data/artwork.ts';
import type { Pack, PackedPicture } from '../data/pack.ts';

/** Share of the unseen artist's drawings of concepts that are kept back to measure by, beside those that are kept from everything. */
const KEPT_OUTLINES = 0.1;

/** Indices of a pack's pictures. */
export interface Split {
  readonly train: readonly number[];
  /** Pairs of artist and concept that nothing was trained on, of the base's artists. */
  readonly pairs: readonly number[];
  /** Concepts by the artist whom the base never saw. */
  readonly outlines: readonly number[];
}

/** The concepts that the base learned, by their names as files; values are what prompts call them. */
export const conceptsOf = (pictures: readonly PackedPicture[]): ReadonlyMap<string, string> =>
  new Map(
    pictures.flatMap(({ use, concept, label }) =>
      use === 'base' || use === 'kept pair' ? [[concept, label] as const] : [],
    ),
  );

/** Who is trained on, and who is not: always the same. */
export function splitOf({ pictures }: Pack): Split {
  const concepts = conceptsOf(pictures);
  const split = { train: [] as number[], pairs: [] as number[], outlines: [] as number[] };
  pictures.forEach((picture, index) => {
    const { use, artist, concept } = picture;
    if (use === 'kept pair') split.pairs.push(index);
    else if (use === 'kept outline' || (artist === unseen && lot(picture) < KEPT_OUTLINES)) {
      if (concepts.has(concept)) split.outlines.push(index);
    } else split.train.push(index);
  });
  return split;
}

/** A number of 0 to 1 that follows from artist and concept. */
const lot = ({ artist, concept }: PackedPicture): number =>
  createHash('sha256').update(`classifier ${artist} ${concept}`).digest().readUInt32LE() / 2 ** 32;
