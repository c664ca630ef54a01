/** @file How well what was learned serves pictures that nobody trained on, and what is drawn with it: one measure, by sdft, for the results of both sides. */
import {
  contentOf,
  type Drawer,
  drawShots,
  type Look,
  type Parts,
  scoreColumns,
  wantedShots,
} from '@sdft/compare/node';
import { type Backend, baseHash, learnedKinds, openBase, validationLoss } from '@sdft/methods';
import { PICTURES, promptsOf, SAMPLER_STEPS, WORD } from '../../tools/start/drawing.ts';
import { type Method, resolution } from './methods.ts';
import type { Evaluation } from './results.ts';

/** What all results are measured with. */
export interface Measure {
  readonly base: string;
  /** Kept-back pictures with their captions. */
  readonly keptBack: string;
  /** Of all inputs, `keptBack` among them. */
  readonly inputs: string;
  /** Files of the pictures that were trained on: they tell the classifier whose hand is asked for. */
  readonly shown: readonly string[];
  /** What is drawn and measured already. */
  readonly parts: Parts;
  readonly backend: Backend;
}

/** As `npm start` has its pictures drawn; guidance and the first seed are what `sdft compare` takes by default. */
export const look: Look = {
  seeds: Array.from({ length: PICTURES }, (_, i) => 1 + i),
  ...{ steps: SAMPLER_STEPS, cfg: 4, width: resolution, height: resolution },
};

/** `{}` stands for the word of each method. */
export const prompts = promptsOf(false);

/** The word that stands in prompts: the one that was taught, else the one that captions called the hand by; before anything was learned, what a new word starts from. */
export const wordOf = (
  { nameBefore }: Pick<Method, 'nameBefore'>,
  taught: readonly string[],
  before: boolean,
): string => (taught.length > 0 ? taught.join(' ') : ((before ? nameBefore : undefined) ?? WORD));

/**
 * The validation loss of the kept-back pictures, at fixed noise and timesteps, with captions by the rule of the method; and the scores of what is drawn.
 *
 * @param result what was learned; undefined: nothing yet
 * @returns the figures, and what the scores rest on, for people
 */
export async function evaluate(
  method: Method,
  { base, keptBack, inputs, shown, parts, backend }: Measure,
  result?: string,
): Promise<{ readonly evaluation: Evaluation; readonly about: string }> {
  const drawer = await opened(method, base, result);
  const what = await contentOf(drawer, drawer.base, await baseHash(drawer.base));
  const before = result === undefined;
  const captions = {
    ...{ template: method.template, resolution },
    ...(before && { name: method.nameBefore }),
  };
  const validation = await parts.figure(
    { ...what, ...captions, figure: 'validation loss', inputs },
    () => validationLoss(drawer.base, drawer.learned, { images: keptBack, ...captions, backend }),
  );
  const word = wordOf(method, drawer.words, before);
  const own = prompts.map((prompt) => prompt.replaceAll('{}', word));
  const shots = wantedShots(parts, drawer, own, look, what);
  await drawShots(drawer, shots, look, { backend });
  const { scores, about } = await scoreColumns(prompts, [shots], shown, { backend });
  const { style, concept, diversity } = scores[0]!;
  if (style === undefined || concept === undefined || diversity === undefined)
    throw new Error('internal: prompts of npm start that ask for nothing that can be scored');
  return { evaluation: { validationLoss: validation, style, concept, diversity }, about };
}

/** The base with what was learned, or the base that was learned. */
async function opened({ opens }: Method, base: string, result?: string): Promise<Drawer> {
  const whole = opens === 'base' && result !== undefined;
  const path = whole ? result : base;
  const model = await openBase(path);
  const learned =
    result === undefined || whole ? [] : [await learnedKinds[opens]!.open(result, model)];
  return {
    base: model,
    learned,
    flags: ['--base', path, ...learned.flatMap(({ file }) => [`--${opens}`, file])],
    words: learned.flatMap(({ adapter }) => (adapter.tokens ?? []).map(({ token }) => token)),
    clipSkip: 1,
  };
}
