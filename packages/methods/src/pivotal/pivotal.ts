import type { Method, Preset } from '@sdft/pipeline';
import { lora } from '../lora/lora.ts';
import { denoise } from '../objectives/denoise.ts';
import { textualInversion } from '../textual-inversion/textualInversion.ts';
import { type PivotalOptions, pivotalSettings } from './settings.ts';

/**
 * Pivotal tuning (Roich et al. 2021; cloneofsimo/lora `cli_lora_pti.py`): the vectors of a new word first, then, around that pivot, word and LoRA together. With `inversionSteps: 0`
 * and `embeddingSteps` it is the other order, that of diffusers' advanced scripts: both at once, then the LoRA alone.
 *
 * @throws UserError for settings that do not go together
 */
export function pivotal(options: PivotalOptions): Method {
  const { token, init = 'random', vectors = 2, inversionSteps = 500, ...rest } = options;
  const { embeddingSteps, embeddingLr = 5e-4, ...settings } = rest;
  const [word] = textualInversion({ token, init, vectors }).adapters;
  const [network] = lora(settings).adapters;
  return {
    name: 'pivotal',
    options: Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
    adapters: [
      { ...word!, lr: embeddingLr, weightDecay: 0, steps: { to: embeddingSteps } },
      { ...network!, steps: { from: inversionSteps } },
    ],
    objective: denoise(options),
    preset: pivotalPreset,
  };
}

/** Pivotal tuning as recipes and the command line know it. */
export const pivotalPreset: Preset<typeof pivotalSettings> = {
  name: 'pivotal',
  summary: 'teach a new word, then a LoRA around it',
  schema: pivotalSettings,
  flavours: ['diffusers', 'kohya'],
  // cloneofsimo's: 1000 + 1000 steps, the U-Net's rate 1e-4, decay 1e-3; half as many steps.
  defaults: () => ({
    optimizer: { name: 'adamw', lr: 1e-4, weightDecay: 1e-3 },
    clip: 1,
    steps: 1000,
  }),
  problems: ({ inversionSteps = 500 }, { steps = 1000 }) =>
    inversionSteps >= steps && steps > 0
      ? [
          `inversionSteps ${inversionSteps} leave no step of ${steps} to the LoRA: lower them, or raise steps`,
        ]
      : [],
  assemble: pivotal,
  example:
    '--base nano --images photos/boy --token "<boy>" --template "a drawing of {}" --inversion-steps 300 --steps 600 --out boy.safetensors',
};
