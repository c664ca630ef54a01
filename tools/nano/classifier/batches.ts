/** @file Pictures and answers for each step of the classifier's training. */
import type { ClassifierConfig } from '@sdft/compare';
import { type Draws, hostArray, type HostArray } from '@sdft/tensor';
import { unseen } from '../data/artwork.ts';
import { type Pack, SIDE } from '../data/pack.ts';
import { outlined } from '../data/variants.ts';
import { conceptsOf } from './pictures.ts';
import { classifierVariant } from './variants.ts';

/** Of each answer, what is shared out among all (Szegedy et al. 2016, arXiv:1512.00567). */
const SMOOTHING = 0.1;
/** How often a picture of a concept is shown for one of another subject, which teaches nothing but hands. */
const CONCEPT_TIMES = 5;
/** How often a picture by another artist gets lines as the unseen artist's have, in about their size; whose hand that is, nobody says. */
const OUTLINED = 0.3;
const OUTLINE_SCALE = 0.8;
const PIXELS = 3 * SIDE * SIDE;

export class Batches {
  readonly #pack: Pack;
  readonly #blurred: (index: number) => Uint8Array;
  readonly #config: ClassifierConfig;
  readonly #size: number;
  readonly #draws: Draws;
  readonly #concepts: readonly string[];
  /** Indices, as often as they are shown in a round. */
  readonly #shown: readonly number[];
  #order: { readonly round: number; readonly indices: readonly number[] } | undefined;

  /** @param blurred the same pictures after the autoencoder, which half of the time stand in for them */
  constructor(
    pack: Pack,
    train: readonly number[],
    blurred: (index: number) => Uint8Array,
    config: ClassifierConfig,
    size: number,
    draws: Draws,
  ) {
    this.#pack = pack;
    this.#blurred = blurred;
    this.#config = config;
    this.#size = size;
    this.#draws = draws;
    this.#concepts = [...conceptsOf(pack.pictures).keys()];
    this.#shown = train.flatMap((index) =>
      Array.from({ length: this.#answer(index) < 0 ? 1 : CONCEPT_TIMES }, () => index),
    );
  }

  /** `pixels` [size,3,64,64] in -1..1, `artist` [size, artists] and `concept` [size, concepts]: probabilities, zeros where nothing is asked. */
  at(step: number): Record<string, HostArray> {
    const { artists, concepts } = this.#config;
    const size = this.#size;
    const pixels = new Float32Array(size * PIXELS);
    const artist = new Float32Array(size * artists.length);
    const concept = new Float32Array(size * concepts.length);
    for (let i = 0; i < size; i++) {
      const place = step * size + i;
      const index = this.#picture(place);
      const drawnBy = this.#pack.pictures[index]!.artist;
      const [blur, line] = this.#draws.uniform('kind', place, [2]).data;
      const isOutlined = drawnBy !== unseen && line! < OUTLINED;
      const plain = blur! < 0.5 ? this.#blurred(index) : this.#pack.pixels(index);
      const from = isOutlined ? outlined(plain) : plain;
      const to = pixels.subarray(i * PIXELS, (i + 1) * PIXELS);
      classifierVariant(from, to, this.#draws, 'variant', place, isOutlined ? OUTLINE_SCALE : 1);
      aim(artist, i, isOutlined ? -1 : artists.indexOf(drawnBy), artists.length);
      aim(concept, i, this.#answer(index), concepts.length);
    }
    const shaped = (data: Float32Array, ...shape: number[]) =>
      hostArray(data, [size, ...shape]) as HostArray;
    return {
      pixels: shaped(pixels, 3, SIDE, SIDE),
      artist: shaped(artist, artists.length),
      concept: shaped(concept, concepts.length),
    };
  }

  #answer(index: number): number {
    return this.#concepts.indexOf(this.#pack.pictures[index]!.concept);
  }

  /** Each round in another order. */
  #picture(place: number): number {
    const count = this.#shown.length;
    const round = Math.floor(place / count);
    if (this.#order?.round !== round) {
      const lots = this.#draws.uniform('order', round, [count]).data;
      const lotted = this.#shown.map((index, i) => ({ index, lot: lots[i]! }));
      const indices = lotted.sort((a, b) => a.lot - b.lot).map(({ index }) => index);
      this.#order = { round, indices };
    }
    return this.#order!.indices[place % count]!;
  }
}

/** Sets row i of answers. */
function aim(answers: Float32Array, i: number, answer: number, width: number): void {
  if (answer < 0) return;
  answers.fill(SMOOTHING / width, i * width, (i + 1) * width);
  answers[i * width + answer]! += 1 - SMOOTHING;
}
