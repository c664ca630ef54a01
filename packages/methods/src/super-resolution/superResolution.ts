import type { Method, Needs, Preset, Recipe } from '@sdft/pipeline';
import { fullFineTune } from '../full/fullFineTune.ts';
import { superResolve, type SuperResolveOptions } from '../objectives/superResolve.ts';
import { assembleOver, presetOver, settingsOf, settingsOver } from '../over/settings.ts';
import { ownSettings, problemsOf, type Settings } from './settings.ts';

export interface SuperResolutionOptions extends SuperResolveOptions {
  /** Caption of every picture of the subject, with a rare word for it: `a photo of sks dog`. A template as in `data`. Default: what `data` says. */
  readonly prompt?: string | undefined;
  /** What is trained: any method's adapters; its objective is left aside. Default `fullFineTune()`, the whole U-Net. */
  readonly over?: Method<Needs> | undefined;
}

/**
 * Teaches a model that enlarges pictures (Stability's x4 upscaler) the details of one subject, on pictures of it and the same pictures reduced: the second half of
 * DreamBooth (Ruiz et al. 2022, arXiv:2208.12242, version 1, section 4.4).
 *
 * @throws UserError for settings out of range
 */
export function superResolution(options: SuperResolutionOptions = {}): Method {
  const { adapters, preset } = options.over ?? fullFineTune();
  return {
    name: 'super-resolution',
    options: settingsOf({ ...options }),
    adapters,
    objective: superResolve(options),
    ...(preset && { preset: superResolutionOver(preset) }),
  };
}

/**
 * Super-resolution over one method, as recipes and the command line know it.
 *
 * @param names of the methods that a recipe may name in its place
 */
export function superResolutionOver(
  method: Preset,
  names: readonly string[] = [method.name],
): Preset {
  return {
    name: 'super-resolution',
    summary: 'teach a model that enlarges pictures the details of one subject',
    schema: settingsOver(ownSettings, method, names),
    flavours: method.flavours,
    defaults(flavour, recipe) {
      const { prompt, over } = recipe as Recipe & Settings;
      const usual = method.defaults(flavour, { ...recipe, ...over });
      return {
        ...usual,
        // As DreamBooth's first half: the paper names none for this one.
        ...(method.name === 'full' && { optimizer: { ...usual.optimizer, lr: 5e-6 } }),
        steps: 800,
        ...(prompt !== undefined && { data: { ...usual.data, template: prompt } }),
      };
    },
    problems: (settings, recipe) => problemsOf(settings as Settings, recipe, method),
    assemble: ({ over, flavour, ...own }) =>
      superResolution({ ...own, over: assembleOver(method, over as Settings['over'], flavour) }),
    example:
      '--base x4-upscaler --images photos/rex --prompt "a photo of sks dog" --steps 400 --out rex-upscaler',
  };
}

/**
 * Super-resolution over any of these methods.
 *
 * @param usual the one that a recipe means that names none
 */
export const superResolutionPreset = (usual: Preset, methods: readonly Preset[]): Preset =>
  presetOver(usual, methods, superResolutionOver);
