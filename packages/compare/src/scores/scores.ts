/** @file Figures of pictures that a model drew. */
import { firstOf, type Judgement } from './classifier.ts';

/** The pictures of one prompt, and what was asked for. */
export interface PromptPictures {
  /** Whose hand they shall show, as the classifier calls it; undefined: no one's. */
  readonly artist?: string | undefined;
  /** What they shall show, as the classifier calls it; undefined: nothing that it knows. */
  readonly concept?: string | undefined;
  readonly judgements: readonly Judgement[];
}

/** Each undefined where no prompt asks for it. */
export interface Scores {
  /** Share of the pictures whose first artist is the wanted one, among those of prompts that want one: 0..1. */
  readonly style: number | undefined;
  /** Share of the pictures whose first concept is the wanted one, among those of prompts that name one: 0..1. */
  readonly concept: number | undefined;
  /**
   * Mean of 1 - cos(f, g) over all pairs of pictures of the same prompt, f and g being the classifier's features of the two: 0 for the same picture again and again, at most 2. First the mean
   * of a prompt, then of prompts; those with one picture have none.
   */
  readonly diversity: number | undefined;
  /** Pictures that were judged. */
  readonly pictures: number;
}

/** Figures of the pictures of several prompts. */
export function scoresOf(prompts: readonly PromptPictures[]): Scores {
  const style: number[] = [];
  const concepts: number[] = [];
  const diversities: number[] = [];
  for (const { artist, concept, judgements } of prompts) {
    for (const judgement of judgements) {
      if (artist !== undefined) style.push(firstOf(judgement.artist) === artist ? 1 : 0);
      if (concept !== undefined) concepts.push(firstOf(judgement.concept) === concept ? 1 : 0);
    }
    const distances = judgements.flatMap((one, i) =>
      judgements.slice(i + 1).map((other) => 1 - cosine(one.features, other.features)),
    );
    if (distances.length > 0) diversities.push(mean(distances)!);
  }
  return {
    style: mean(style),
    concept: mean(concepts),
    diversity: mean(diversities),
    pictures: prompts.reduce((sum, { judgements }) => sum + judgements.length, 0),
  };
}

/**
 * The concept that a prompt names: the one of the most words that stand in it side by side, of several the first that is named (`a flat drawing of a woman singer` names `woman singer`, and not
 * `woman`; `a man on a horse` names `man`). Undefined where it names none.
 */
export function conceptIn(prompt: string, concepts: readonly string[]): string | undefined {
  const words = ` ${wordsOf(prompt)} `;
  const found = concepts
    .map((concept) => ({ concept, name: wordsOf(concept) }))
    .map(({ concept, name }) => ({
      concept,
      length: name.split(' ').length,
      at: words.indexOf(` ${name} `),
    }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => b.length - a.length || a.at - b.at);
  return found[0]?.concept;
}

/** Small letters, one space between words, no punctuation but what joins words. */
const wordsOf = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}'-]+/gu, ' ')
    .trim();

function mean(numbers: readonly number[]): number | undefined {
  return numbers.length === 0
    ? undefined
    : numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, left, right] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    left += a[i]! ** 2;
    right += b[i]! ** 2;
  }
  return left === 0 || right === 0 ? 0 : dot / Math.sqrt(left * right);
}
