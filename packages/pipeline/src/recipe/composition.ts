/** @file From a recipe to the parts of a run. */
import { providedBy } from '@sdft/data';
import {
  chain,
  clipByGlobalNorm,
  clipByValue,
  type Ema,
  ema,
  type GradientTransform,
  type Optimizer,
  type OptimizerName,
  optimizerNamed,
  optimizers,
} from '@sdft/optim';
import { UserError } from '@sdft/tensor';
import type { Adapter, Method, Needs, Objective, PlainRecord } from '../contracts.ts';
import { defaultDraws } from '../validation/validator.ts';
import { settingsOf } from './parse.ts';
import { type Defaults, type Preset, presetOf, type Registry, variantOf } from './preset.ts';
import type { Problems } from './problems.ts';
import type { CommonSettings, Flavour, Recipe } from './schema.ts';

/** A recipe with every default filled in, and the parts that it names. */
export interface Composition {
  /** As it was given. */
  readonly given: Recipe;
  readonly recipe: ResolvedRecipe;
  readonly adapters: readonly Adapter[];
  readonly objective: Objective<Needs>;
  readonly optimizer: Optimizer;
  /** Running averages of what is trained, where they are asked for. */
  readonly ema: Ema | undefined;
}

/** Settings that every run has. */
type Settled =
  | 'flavour'
  | 'batch'
  | 'accumulate'
  | 'seed'
  | 'latentSampling'
  | 'clipSkip'
  | 'longPrompts'
  | 'promptSyntax'
  | 'emphasis'
  | 'recompute';
export type ResolvedRecipe = Recipe & {
  readonly [K in Settled]-?: NonNullable<CommonSettings[K]>;
};

/** Parts that are given as they are, by the builder. */
export interface GivenParts {
  readonly adapters?: readonly Adapter[] | undefined;
  readonly objective?: Objective<Needs> | undefined;
  /** An optimizer that no recipe can name. */
  readonly optimizer?: Optimizer | undefined;
}

const ofFlavour: Readonly<Record<Flavour, Defaults>> = {
  diffusers: { latentSampling: 'random', longPrompts: 'truncate', data: { pick: 'fetch' } },
  a1111: {
    latentSampling: 'once',
    longPrompts: 'chunks',
    promptSyntax: 'a1111',
    data: { pick: 'image' },
  },
  kohya: { latentSampling: 'random', longPrompts: 'truncate', data: { pick: 'fetch' } },
};

const ofEveryRun = {
  batch: 1,
  accumulate: 1,
  clipSkip: 1,
  promptSyntax: 'plain',
  emphasis: 'original',
  recompute: false,
} satisfies Defaults;

/** Fills in what a recipe leaves out: what its preset says for the flavour, then the flavour itself, then what every run has. */
export function resolveRecipe(recipe: Recipe, preset: Preset | undefined): ResolvedRecipe {
  const flavour = recipe.flavour ?? preset?.flavours[0] ?? 'diffusers';
  const layers: Defaults[] = [
    ...(preset ? [preset.defaults(flavour, recipe)] : []),
    ofFlavour[flavour],
    ofEveryRun,
  ];
  // Pictures are the user's to give; defaults only say how they are treated.
  const useful = ({ data, optimizer, ...layer }: Defaults) => ({
    ...layer,
    ...(recipe.data && data && { data }),
    ...(optimizer && !isOfAnother(recipe.optimizer, optimizer) && { optimizer }),
  });
  const filled = layers.map(useful).reduce<Record<string, unknown>>(filledUp, recipe);
  const { validation } = recipe;
  return {
    ...(filled as Recipe),
    ...(validation && { validation: { draws: defaultDraws, ...validation } }),
    flavour,
    seed: recipe.seed ?? freshSeed(),
  } as ResolvedRecipe;
}

/** A record with what it leaves out, in the records inside it too. */
function filledUp(
  present: Readonly<Record<string, unknown>>,
  defaults: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const filled: Record<string, unknown> = { ...present };
  for (const [key, value] of Object.entries(defaults)) {
    const own = filled[key];
    if (own === undefined) filled[key] = value;
    else if (isRecord(own) && isRecord(value)) filled[key] = filledUp(own, value);
  }
  return filled;
}

/** Whether settings belong to another optimizer than the one that is named: its rate and decay would be wrong for it. */
const isOfAnother = (
  named: Recipe['optimizer'],
  { name }: NonNullable<Recipe['optimizer']>,
): boolean => named?.name !== undefined && name !== undefined && named.name !== name;

/** Any of 2^32, so that a run without a seed can be repeated with the one that its recipe tells. */
const freshSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0]!;

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The parts of a run, from a recipe that `checkRecipe` has accepted, and parts that were given as they are.
 *
 * @param problems gets what does not go together
 * @returns undefined where there are problems
 */
export async function compose(
  given: Recipe,
  registry: Registry,
  parts: GivenParts,
  problems: Problems,
): Promise<Composition | undefined> {
  const preset = presetOf(given, registry);
  const recipe = resolveRecipe(given, preset);
  const method = await problems.gather(() => methodOf(recipe, preset, registry, parts));
  const optimizer = await problems.gather(() => optimizerOf(recipe, parts.optimizer));
  const average = await problems.gather(() => emaOf(recipe));
  if (!method || !optimizer) return undefined;
  if (
    recipe.data &&
    method.objective.needs === 'class' &&
    !providedBy(recipe.data).includes('class')
  )
    problems.add(
      `the objective needs pictures of the class, and the data has none: say data.classImages: { images: FOLDER } (in TypeScript: withClassImages(images(...), FOLDER))`,
    );
  return { given, recipe, ...method, optimizer, ema: average };
}

function emaOf({ ema: settings = false }: ResolvedRecipe): Ema | undefined {
  if (settings === false) return undefined;
  return ema(
    typeof settings === 'number' ? { decay: settings } : settings === true ? {} : settings,
  );
}

function methodOf(
  recipe: ResolvedRecipe,
  preset: Preset | undefined,
  { presets, objectives }: Registry,
  parts: GivenParts,
): Pick<Method<Needs>, 'adapters' | 'objective'> {
  const objectiveOf = ({ name, ...settings }: PlainRecord): Objective<Needs> =>
    objectives[name as string]!.make(settings, objectiveOf);
  const given = parts.adapters ?? [];
  const assembled =
    preset && (given.length === 0 || !parts.objective)
      ? preset.assemble(settingsOf(recipe, preset))
      : undefined;
  const adapters =
    given.length > 0
      ? given
      : (assembled?.adapters ??
        (recipe.adapters ?? []).flatMap(
          ({ name, ...settings }) =>
            variantOf(presets[name]!, settings).assemble(settings).adapters,
        ));
  if (adapters.length === 0)
    throw new UserError(
      'nothing is trainable: name a method (method: textual-inversion), or give adapters to the builder',
    );
  const objective =
    parts.objective ?? (recipe.objective ? objectiveOf(recipe.objective) : assembled?.objective);
  if (!objective)
    throw new UserError('there is no objective: give one to the builder, such as denoise()');
  return { adapters, objective };
}

function optimizerOf(recipe: ResolvedRecipe, given: Optimizer | undefined): Optimizer {
  const { clip, clipMode = 'norm' } = recipe;
  const limit =
    clip === undefined || clip === 0
      ? []
      : [clipMode === 'norm' ? clipByGlobalNorm(clip) : clipByValue(clip)];
  if (given) return chain(...limit, given);
  const { name = 'adamw', before = [], ...settings } = recipe.optimizer ?? {};
  const problem = optimizerProblem(name, settings);
  if (problem !== undefined) throw new UserError(problem);
  const first: GradientTransform[] = before.map(({ name: kind, max }) =>
    kind === 'clipByGlobalNorm' ? clipByGlobalNorm(max) : clipByValue(max),
  );
  return chain(...first, ...limit, optimizerNamed({ name, ...settings }));
}

/** What is wrong with an optimizer's settings, in the words of a recipe: `optimizer.lr` where the optimizer itself says `lr`. */
function optimizerProblem(name: string, settings: PlainRecord): string | undefined {
  if (!isOptimizerName(name))
    return `optimizer.name must be one of ${Object.keys(optimizers).join(', ')}, not ${JSON.stringify(name)}`;
  const { needsRate, settings: known } = optimizers[name];
  if (needsRate && settings['lr'] === undefined)
    return `optimizer.lr is missing: ${name} has no learning rate; say optimizer: { name: ${name}, lr: 1e-4 }`;
  const has = ['lr', ...Object.keys(known)];
  const misplaced = Object.keys(settings).filter((key) => !has.includes(key));
  return misplaced.length === 0
    ? undefined
    : misplaced
        .map(
          (key) =>
            `optimizer.${key}: ${name} has no such setting; it has ${has.map((own) => `optimizer.${own}`).join(', ')}`,
        )
        .join('\n');
}

const isOptimizerName = (name: string): name is OptimizerName => Object.hasOwn(optimizers, name);

/** Whether a recipe can say everything about an optimizer. */
export const isNamed = (optimizer: Optimizer): boolean => isOptimizerName(optimizer.recipe.name);
