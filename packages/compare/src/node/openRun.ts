/** @file What a run learned, opened to draw with. */
import { stat } from 'node:fs/promises';
import { type Learned, learnedKinds, openBase, type Recipe } from '@sdft/methods';
import type { Base } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import type { FinishedRun } from './readRun.ts';

/** Something that draws: a base, with what is applied to it, and the flags of `sdft generate` that say so. */
export interface Drawer {
  readonly base: Base;
  readonly learned: readonly Learned[];
  readonly flags: readonly string[];
  /** Words that it was taught. */
  readonly words: readonly string[];
  readonly clipSkip: number;
}

/** How the recipe of a run has its base read. */
export const baseOptions = ({
  config,
  predictionType,
  vae,
  emaWeights,
  zeroTerminalSnr,
  flavour,
}: Recipe) => ({
  config,
  predictionType,
  vae,
  emaWeights,
  zeroTerminalSnr,
  schedulePrecision: flavour === 'a1111' ? ('f64' as const) : ('f32' as const),
});

/** The flags of a base, as `sdft generate` takes them. */
const baseFlags = (
  base: string,
  { config, predictionType, vae, emaWeights }: Partial<Recipe>,
): string[] => [
  ...['--base', base],
  ...(config === undefined ? [] : ['--config', config]),
  ...(predictionType === undefined ? [] : ['--prediction-type', predictionType]),
  ...(vae === undefined ? [] : ['--vae', vae]),
  ...(emaWeights === true ? ['--ema-weights'] : []),
];

const skipFlags = (clipSkip: number): string[] =>
  clipSkip > 1 ? ['--clip-skip', String(clipSkip)] : [];

/** The base of runs alone, read as the first of them has it. Throws UserError where it cannot be opened. */
export async function openBaseAlone(runs: readonly FinishedRun[]): Promise<Drawer> {
  const { recipe } = runs[0]!;
  const skips = new Set(runs.map((run) => run.recipe.clipSkip ?? 1));
  const clipSkip = skips.size === 1 ? [...skips][0]! : 1;
  return {
    base: await openBase(recipe.base, baseOptions(recipe)),
    learned: [],
    flags: [...baseFlags(recipe.base, recipe), ...skipFlags(clipSkip)],
    words: [],
    clipSkip,
  };
}

/** What a run learned, on its base: files of some kind, or a whole model. Throws UserError naming what cannot be opened. */
export async function openRun({ recipe, files, folder }: FinishedRun, base: Base): Promise<Drawer> {
  const clipSkip = recipe.clipSkip ?? 1;
  const [model, ...others] = await wholeModels(files, base);
  if (model !== undefined && (others.length > 0 || files.length > 1))
    throw new UserError(
      `${folder}: learned a whole model and more (${files.join(', ')}), which cannot be drawn with together`,
    );
  if (model !== undefined) {
    // How the base was read says nothing of a model that was written from it, but for what single files do not say.
    const { config, predictionType } = recipe;
    const options = (await stat(model)).isDirectory() ? {} : { config, predictionType };
    return {
      base: await openBase(model, {
        ...baseOptions({
          base: model,
          zeroTerminalSnr: recipe.zeroTerminalSnr,
          flavour: recipe.flavour,
        }),
        ...options,
      }),
      learned: [],
      flags: [...baseFlags(model, options), ...skipFlags(clipSkip)],
      words: [],
      clipSkip,
    };
  }
  const opened = await Promise.all(files.map((file) => openLearned(file, base)));
  return {
    base,
    learned: opened.map(({ learned }) => learned),
    flags: [
      ...baseFlags(recipe.base, recipe),
      ...opened.flatMap(({ kind, learned }) => [`--${kind}`, learned.file]),
      ...skipFlags(clipSkip),
    ],
    words: opened.flatMap(({ learned }) =>
      (learned.adapter.tokens ?? []).map(({ token }) => token),
    ),
    clipSkip,
  };
}

/** Those of the files that are models and no learned files. */
async function wholeModels(files: readonly string[], base: Base): Promise<string[]> {
  const models: string[] = [];
  for (const file of files) {
    if ((await stat(file)).isDirectory()) models.push(file);
    else {
      const learned = await openLearned(file, base).catch((error: unknown) => error);
      if (!(learned instanceof UserError)) continue;
      // What it predicts plays no part in what it is.
      const model = await openBase(file, { predictionType: 'epsilon' }).catch(() => undefined);
      if (!model) throw learned;
      models.push(file);
    }
  }
  return models;
}

/** Opens a file as the first of the kinds that it is. Throws UserError with what each of them says of it. */
async function openLearned(
  file: string,
  base: Base,
): Promise<{ readonly kind: string; readonly learned: Learned }> {
  const said: string[] = [];
  for (const kind of Object.values(learnedKinds)) {
    try {
      return { kind: kind.name, learned: await kind.open(file, base) };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      said.push(`as ${kind.summary}: ${error.message}`);
    }
  }
  throw new UserError(`${file}: can be opened as nothing that draws:\n  ${said.join('\n  ')}`);
}
