/** @file Recorded runs of the reference programs, and the recipes that must repeat them. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { adamw, pipeline, type Pipeline, textualInversion } from '../../src/index.ts';

const fixtures = new URL('../../../../fixtures/', import.meta.url);
/** A path below fixtures/. */
export const fixture = (path: string): string => fileURLToPath(new URL(path, fixtures));

export interface Case {
  readonly name: string;
  /** Its folder, below fixtures/. */
  readonly folder: string;
  /** Everything but the base. */
  readonly stem: (folder: string) => Pipeline;
  /** Base, below fixtures/. */
  readonly base: string;
  /** Optimizer steps. */
  readonly steps: number;
  /** Micro-steps of an optimizer step. */
  readonly accumulate: number;
}

const word = (vectors: number, init?: string) =>
  pipeline().method(textualInversion({ token: '<thing>', init, vectors }));
const a1111 = (token: string, vectors: number) =>
  pipeline().flavour('a1111').method(textualInversion({ token, vectors }));

const tinySd = 'goldens/tiny-sd';
const tinySd2 = 'replay/sd2-base';
const golden = (name: string): string => `goldens/train/${name}`;
const own = (name: string): string => `replay/${name}`;

export const cases: readonly Case[] = [
  {
    name: 'ti',
    folder: golden('ti'),
    base: tinySd,
    steps: 5,
    accumulate: 1,
    stem: () =>
      pipeline()
        .method(textualInversion({ token: '<my-cup>', init: 'cup' }))
        .optimizer(adamw({ lr: 2e-3, weightDecay: 0.01 }))
        .schedule({ name: 'linear' }),
  },
  {
    name: 'ti_a1111',
    folder: golden('ti_a1111'),
    base: tinySd,
    steps: 5,
    accumulate: 1,
    stem: (folder) =>
      a1111('ti_a1111', 2)
        .initFrom(`${folder}/initial.pt`)
        .optimizer(adamw({ lr: '0.005:3, 0.001', weightDecay: 0 }))
        .clip('0.02'),
  },
  {
    name: 'three vectors, batch of 3, cosine with a warm-up',
    folder: own('ti-cosine'),
    base: tinySd,
    steps: 5,
    accumulate: 1,
    stem: () =>
      word(3, 'cup')
        .optimizer(adamw({ lr: 2e-3, weightDecay: 0.01 }))
        .schedule({ name: 'cosine', warmup: 2 }),
  },
  {
    name: 'two micro-steps a step, linear rate',
    folder: own('ti-accumulate'),
    base: tinySd,
    steps: 3,
    accumulate: 2,
    stem: () =>
      word(1, 'cup')
        .optimizer(adamw({ lr: 2e-3, weightDecay: 0.01 }))
        .schedule({ name: 'linear' }),
  },
  {
    name: 'pictures of 40 x 64 pixels, one at a time',
    folder: own('ti-oblong'),
    base: tinySd,
    steps: 5,
    accumulate: 1,
    stem: () => word(2, 'cup').optimizer(adamw({ lr: 5e-3, weightDecay: 0.01 })),
  },
  {
    name: "a base of SD2's kind that predicts v, cosine with restarts",
    folder: own('ti-sd2'),
    base: tinySd2,
    steps: 6,
    accumulate: 1,
    stem: () =>
      word(2, 'man')
        .optimizer(adamw({ lr: 2e-3, weightDecay: 0.01 }))
        .schedule({ name: 'cosine-restarts', cycles: 2 }),
  },
  {
    name: 'weight decay, betas and epsilon of its own',
    folder: own('ti-decay'),
    base: tinySd2,
    steps: 5,
    accumulate: 1,
    stem: () =>
      word(1, 'art').optimizer(
        adamw({ lr: 2e-2, weightDecay: 0.1, beta1: 0.8, beta2: 0.95, epsilon: 1e-4 }),
      ),
  },
  {
    name: 'polynomial rate, clipped by norm',
    folder: own('ti-polynomial'),
    base: tinySd2,
    steps: 5,
    accumulate: 1,
    stem: () =>
      word(2, 'time')
        .optimizer(adamw({ lr: 2e-3, weightDecay: 0.01 }))
        .schedule({ name: 'polynomial', power: 2, warmup: 1 })
        .clip(0.003, 'norm'),
  },
  {
    name: 'A1111: five vectors, clipped by value, clip skip 2, latents sampled once, a context beside the ids',
    folder: own('ti-a1111-value'),
    base: tinySd,
    steps: 6,
    accumulate: 1,
    stem: (folder) =>
      a1111('a1111_thing', 5)
        .initFrom(`${folder}/initial.pt`)
        .optimizer(adamw({ lr: '0.005:2, 2e-3:4, 1e-3', weightDecay: 0 }))
        .clip('0.004:3, 0.001', 'value')
        .with({ clipSkip: 2, latentSampling: 'once' }),
  },
  {
    name: 'A1111: weights of the pictures, two micro-steps a step, vectors from zero',
    folder: own('ti-a1111-weight'),
    base: tinySd,
    steps: 3,
    accumulate: 2,
    stem: () =>
      pipeline()
        .flavour('a1111')
        .method(textualInversion({ token: 'a1111_thing', init: 'zeros', vectors: 2 }))
        .optimizer(adamw({ lr: 1e-2, weightDecay: 0 })),
  },
  {
    name: 'A1111: emphasis in the captions',
    folder: own('ti-a1111-emphasis'),
    base: tinySd,
    steps: 4,
    accumulate: 1,
    stem: (folder) =>
      a1111('a1111_thing', 2)
        .initFrom(`${folder}/initial.pt`)
        .optimizer(adamw({ lr: 1e-2, weightDecay: 0 })),
  },
];

/** The recipe of a case, ready to be built on its record. */
export const recipeOf = ({ stem, folder, base, steps, accumulate }: Case): Pipeline =>
  stem(fixture(folder)).model(fixture(base)).steps(steps).accumulate(accumulate).seed(1);

export const caseNamed = (folder: string): Case => {
  const found = cases.find((one) => one.folder.endsWith(folder));
  if (!found) throw new Error(`there is no case ${folder}`);
  return found;
};

export const json = <T>(path: string): T => JSON.parse(readFileSync(fixture(path), 'utf8')) as T;

/** What the reference program said of a micro-step. The goldens tell no norms; theirs of A1111 are those after clipping. */
export interface MicroStep {
  readonly loss: number;
  readonly lr?: number;
  readonly grad_norm?: number;
  readonly optimizer_step?: boolean;
  readonly prompts?: readonly string[];
}

export const microSteps = ({ folder }: Case): readonly MicroStep[] =>
  json<{ micro_steps: readonly MicroStep[] }>(`${folder}/loss.json`).micro_steps;

/** What rounding may change, from a repetition in float64. */
export interface Tolerance {
  readonly relative_error_of_update: number;
  readonly loss_abs: number;
  readonly grad_norm_relative?: number;
}

export const toleranceOf = ({ folder }: Case): Tolerance =>
  json<{ suggested_tolerance: Tolerance }>(`${folder}/noise.json`).suggested_tolerance;
