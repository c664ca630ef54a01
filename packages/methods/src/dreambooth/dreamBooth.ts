import type { Method, Needs, Objective, Preset, Recipe } from '@sdft/pipeline';
import { fullFineTune } from '../full/fullFineTune.ts';
import { denoise, type DenoiseOptions } from '../objectives/denoise.ts';
import { withPrior } from '../objectives/withPrior.ts';
import { assembleOver, presetOver, settingsOf, settingsOver } from '../over/settings.ts';
import { classFolder } from './classFolder.ts';
import { ownSettings, problemsOf, type Settings } from './settings.ts';

export interface DreamBoothOptions extends DenoiseOptions {
  /** Caption of every picture of the subject, with a rare word for it: `a photo of sks dog`. A template as in `data`. Default: what `data` says. */
  readonly prompt?: string | undefined;
  /** Caption of every picture of the class, `a photo of a dog`, from which missing ones are drawn. Turns prior preservation on. */
  readonly classPrompt?: string | undefined;
  /** How many class pictures there shall be. Default 100 where there is a prompt to draw them from, else all that are there. */
  readonly classCount?: number | undefined;
  /** Sampler steps of those that are drawn. Default 25. */
  readonly classSteps?: number | undefined;
  /** What the loss of the class pictures counts, against 1 for the subject's. Turns prior preservation on. Default 1. */
  readonly priorWeight?: number | undefined;
  /** What is trained: any method's adapters; its objective is left aside. Default `fullFineTune()`, the whole U-Net. */
  readonly over?: Method<Needs> | undefined;
}

/**
 * DreamBooth (Ruiz et al. 2022, arXiv:2208.12242): teaches a model one subject under a rare word, from a few pictures, and keeps it from forgetting the subject's
 * class by training on pictures of that as well (prior preservation, equation 2). It does so wherever the data has class pictures. Source: diffusers
 * `train_dreambooth.py`; with min-SNR its advanced scripts, which weigh the subject's half alone.
 *
 * @throws UserError for settings out of range
 */
export function dreamBooth(
  options: DreamBoothOptions & { readonly priorWeight: number; readonly classPrompt?: undefined },
): Method<'class'>;
export function dreamBooth(options?: DreamBoothOptions): Method;
export function dreamBooth(options: DreamBoothOptions = {}): Method<Needs> {
  const { over, classPrompt, priorWeight } = options;
  const plain = denoise(options);
  const prior = withPrior(plain, { weight: priorWeight });
  const asked = classPrompt !== undefined || priorWeight !== undefined;
  const { adapters, preset } = over ?? fullFineTune();
  return {
    name: 'dreambooth',
    options: settingsOf({ ...options }),
    adapters,
    objective: asked ? prior : priorWhere(prior, plain),
    ...(preset && { preset: dreamBoothOver(preset) }),
  };
}

/** One objective for batches with class pictures, another for those without. */
const priorWhere = (prior: Objective<Needs>, plain: Objective): Objective =>
  Object.assign<Objective, Pick<Objective, 'recipe'>>(
    (models, batch, draw) => (batch.instances < batch.size ? prior : plain)(models, batch, draw),
    { ...(plain.recipe && { recipe: plain.recipe }) },
  );

/**
 * DreamBooth over one method, as recipes and the command line know it.
 *
 * @param names of the methods that a recipe may name in its place
 */
export function dreamBoothOver(method: Preset, names: readonly string[] = [method.name]): Preset {
  return {
    name: 'dreambooth',
    summary: 'teach a model one subject from a few pictures, and keep what it knows of the class',
    schema: settingsOver(ownSettings, method, names),
    flavours: method.flavours,
    defaults(flavour, recipe) {
      const { prompt, over } = recipe as Recipe & Settings;
      const usual = method.defaults(flavour, { ...recipe, ...over });
      return {
        ...usual,
        // The paper's rate for Stable Diffusion, and the steps of the README of diffusers' examples/dreambooth.
        ...(method.name === 'full' && { optimizer: { ...usual.optimizer, lr: 5e-6 } }),
        steps: 800,
        data: {
          ...usual.data,
          interpolation: 'bilinear',
          ...(prompt !== undefined && { template: prompt }),
          ...classImagesOf(recipe),
        },
      };
    },
    problems: (settings, recipe) => problemsOf(settings as Settings, recipe, method),
    assemble: ({ over, flavour, ...own }) =>
      dreamBooth({ ...own, over: assembleOver(method, over as Settings['over'], flavour) }),
    example:
      '--base nano --images photos/rex --prompt "a photo of sks dog" --class-prompt "a photo of a dog" --class-count 20 --steps 200 --out rex',
  };
}

/** The class pictures that a recipe's settings stand for. */
function classImagesOf(recipe: Recipe & Settings) {
  const { base, data, classCount, classSteps: steps } = recipe;
  const caption = recipe.classPrompt ?? data?.classImages?.caption;
  const count = classCount ?? (caption === undefined ? undefined : 100);
  const images = data?.classImages?.images ?? (caption && classFolder(base, caption));
  if (images === undefined) return {};
  const all = { images, caption, count, steps };
  const said = Object.entries(all).filter(([, value]) => value !== undefined);
  return { classImages: Object.fromEntries(said) as typeof all & { images: string } };
}

/**
 * DreamBooth over any of these methods.
 *
 * @param usual the one that a recipe means that names none
 */
export const dreamBoothPreset = (usual: Preset, methods: readonly Preset[]): Preset =>
  presetOver(usual, methods, dreamBoothOver);
