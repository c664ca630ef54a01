/** @file The builder: an immutable description of a run, that grows call by call. */
import type { DataSpec } from '@sdft/data';
import type { EmaOptions, Optimizer, ScheduleOptions } from '@sdft/optim';
import type { Adapter, Method, Needs, Objective } from '../contracts.ts';
import { assembleRun, type RunOptions } from '../node/assembleRun.ts';
import { compose, isNamed } from '../recipe/composition.ts';
import { checkRecipe } from '../recipe/parse.ts';
import { Problems } from '../recipe/problems.ts';
import type { CommonSettings, Flavour, Recipe } from '../recipe/schema.ts';
import type { Run } from '../run/run.ts';

/** Said by the compiler where the objective needs pictures of the class and the data has none. */
export interface NeedsClassImages {
  readonly 'this objective needs class images: use withClassImages(images(...), FOLDER)': never;
}

/** Settings that have no call of their own. */
export type OtherSettings = Partial<
  Pick<
    CommonSettings,
    | 'config'
    | 'predictionType'
    | 'vae'
    | 'emaWeights'
    | 'zeroTerminalSnr'
    | 'latentSampling'
    | 'clipSkip'
    | 'longPrompts'
    | 'promptSyntax'
    | 'emphasis'
    | 'recompute'
    | 'save'
    | 'preview'
  >
>;

type ValidationSettings = NonNullable<CommonSettings['validation']>;

/**
 * A run being described. Every call gives a new builder and leaves this one as it is, so that variants branch from one stem.
 *
 * @typeParam P what the data provides; both kinds as long as there is none
 * @typeParam N what the objective needs
 */
export interface Pipeline<P extends Needs = Needs, N extends Needs = 'instance'> {
  /** The description as plain data: what a recipe file would hold. */
  readonly recipe: Partial<Recipe>;
  /** The base: `nano`, a folder in diffusers layout, a `.safetensors` or `.ckpt`. */
  model(base: string): Pipeline<P, N>;
  /** The pictures. */
  data<Q extends Needs>(spec: DataSpec<Q>): Pipeline<Q, N>;
  /** Adapters with their objective, in place of those so far. */
  method<M extends Needs>(method: Method<M>): Pipeline<P, M>;
  /** One adapter more. Where adapters attach at one layer, they apply in the order of these calls. */
  adapter(adapter: Adapter): Pipeline<P, N>;
  objective<M extends Needs>(objective: Objective<M>): Pipeline<P, M>;
  optimizer(optimizer: Optimizer): Pipeline<P, N>;
  /** How the learning rate moves; constant by default. */
  schedule(options: ScheduleOptions): Pipeline<P, N>;
  /** Largest norm of the gradient, or of each of its elements; a number, or A1111's text of numbers and steps; 0 clips nothing. */
  clip(max: number | string, mode?: 'norm' | 'value'): Pipeline<P, N>;
  /** Save and draw with running averages of what is trained; a number is the largest decay. */
  ema(settings?: boolean | number | EmaOptions): Pipeline<P, N>;
  /** Steps of the whole run; schedules need to know. */
  steps(count: number): Pipeline<P, N>;
  /** Pictures in a batch; 1 by default. */
  batch(size: number): Pipeline<P, N>;
  /** Micro-steps whose gradients are averaged into one step; 1 by default. */
  accumulate(microSteps: number): Pipeline<P, N>;
  /** The same seed gives the same run; without one, a random one is chosen and told. */
  seed(seed: number): Pipeline<P, N>;
  /** Whose defaults and rules apply. */
  flavour(flavour: Flavour): Pipeline<P, N>;
  /** A file with first values of what is trained. */
  initFrom(path: string): Pipeline<P, N>;
  /** Pictures that are kept back, on which the loss is measured before the first step, each `every` steps, and after the last: the validation loss. */
  validation(folder: string, settings?: Omit<ValidationSettings, 'images'>): Pipeline<P, N>;
  /** Everything else that a recipe can say. */
  with(settings: OtherSettings): Pipeline<P, N>;
  /**
   * Checks everything, plans the step, and computes nothing.
   *
   * @throws UserError with every problem at once
   */
  build(
    this: [N] extends [P] ? Pipeline<P, N> : NeedsClassImages,
    options?: RunOptions,
  ): Promise<Run>;
}

interface Description {
  /** Everything but method, adapters and objective. */
  readonly settings: Partial<Recipe>;
  readonly method: Method<Needs> | undefined;
  /** Adapters beside those of the method. */
  readonly adapters: readonly Adapter[];
  readonly objective: Objective<Needs> | undefined;
  /** One that no recipe can name. */
  readonly optimizer: Optimizer | undefined;
}

/** An empty description of a run. */
export function pipeline(): Pipeline {
  const empty: Description = {
    settings: {},
    method: undefined,
    adapters: [],
    objective: undefined,
    optimizer: undefined,
  };
  // The type parameters are promises to the compiler; at run time all builders are alike.
  return builder(empty) as unknown as Pipeline;
}

function builder(description: Description) {
  const { settings } = description;
  const changed = (change: Partial<Description>) => builder({ ...description, ...change });
  const set = (more: Partial<Recipe>) => changed({ settings: { ...settings, ...more } });
  return Object.freeze({
    recipe: Object.freeze(recipeOf(description)),
    model: (base: string) => set({ base }),
    data: (spec: DataSpec<Needs>) => set({ data: spec as NonNullable<Recipe['data']> }),
    method: (method: Method<Needs>) => changed({ method, adapters: [], objective: undefined }),
    adapter: (adapter: Adapter) => changed({ adapters: [...description.adapters, adapter] }),
    objective: (objective: Objective<Needs>) => changed({ objective }),
    optimizer: (optimizer: Optimizer) =>
      changed({
        optimizer: isNamed(optimizer) ? undefined : optimizer,
        settings: { ...settings, optimizer: optimizer.recipe as NonNullable<Recipe['optimizer']> },
      }),
    schedule: (schedule: ScheduleOptions) => set({ schedule }),
    clip: (clip: number | string, clipMode?: 'norm' | 'value') =>
      set({ clip, ...(clipMode && { clipMode }) }),
    ema: (ema: boolean | number | EmaOptions = true) => set({ ema }),
    steps: (steps: number) => set({ steps }),
    batch: (batch: number) => set({ batch }),
    accumulate: (accumulate: number) => set({ accumulate }),
    seed: (seed: number) => set({ seed }),
    flavour: (flavour: Flavour) => set({ flavour }),
    initFrom: (initFrom: string) => set({ initFrom }),
    validation: (folder: string, validation: Omit<ValidationSettings, 'images'> = {}) =>
      set({ validation: { images: folder, ...validation } }),
    with: (more: OtherSettings) => set(more as Partial<Recipe>),
    build: (options?: RunOptions) => build(description, options),
  });
}

/** What a recipe file would hold. */
function recipeOf({ settings, method, adapters, objective }: Description): Partial<Recipe> {
  const named = (part: Objective<Needs>) => ({ name: part.name, ...part.recipe });
  if (method && adapters.length === 0)
    return {
      ...settings,
      method: method.name,
      ...method.options,
      ...(objective && { objective: named(objective) }),
    };
  const all = [...(method?.adapters ?? []), ...adapters];
  const asked = objective ?? method?.objective;
  return {
    ...settings,
    ...(all.length > 0 && { adapters: all.map(({ name, options }) => ({ name, ...options })) }),
    ...(asked && { objective: named(asked) }),
  };
}

async function build(description: Description, options: RunOptions | undefined): Promise<Run> {
  const { method, adapters, optimizer } = description;
  const recipe = recipeOf(description);
  const preset = adapters.length === 0 ? method?.preset : undefined;
  const registry = { presets: preset ? { [preset.name]: preset } : {}, objectives: {} };
  const problems = new Problems();
  // An optimizer that no recipe can name has settings that no schema knows, and so has such a method.
  const unknown = [
    ...(optimizer ? ['optimizer'] : []),
    ...(method && !preset && adapters.length === 0
      ? ['method', ...Object.keys(method.options)]
      : []),
  ];
  const checked = checkRecipe(without(recipe, unknown), registry, problems, true);
  problems.throw();
  const composition = await compose(
    { ...checked!, ...recipe } as Recipe,
    registry,
    {
      adapters: [...(method?.adapters ?? []), ...adapters],
      objective: description.objective ?? method?.objective,
      optimizer,
    },
    problems,
  );
  problems.throw();
  return assembleRun(composition!, options);
}

/** A recipe without some of its settings, and without keys that hold nothing, which JavaScript may hand over. */
const without = (recipe: Partial<Recipe>, keys: readonly string[]): Partial<Recipe> =>
  Object.fromEntries(
    Object.entries(recipe).filter(([key, value]) => value !== undefined && !keys.includes(key)),
  );
