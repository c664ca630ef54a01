import type { Adapter, Method, Preset } from '@sdft/pipeline';
import { denoise } from '../objectives/denoise.ts';
import { changingAdapter } from './adapter.ts';
import { loraFiles } from './files/loraFiles.ts';
import { planOf } from './plan.ts';
import { type LoraOptions, loraSettings } from './settings.ts';
import { layersAt, targetGlobs } from './targets.ts';

/**
 * LoRA (Hu et al. 2021) and its relatives: each layer that `targets` names is changed by a few numbers, s up down in the plainest case with s = alpha / rank, while its weight stays a
 * constant of the graph. The flavour decides over defaults, first values and files: `diffusers` (PEFT; rank 4, alpha = rank, attention), `kohya` (alpha 1, all of
 * the transformers, kohya's and LyCORIS' rules). An adapter, and a method with the objective `denoise`.
 *
 * @throws UserError for settings that do not go together
 */
export function lora(options: Partial<LoraOptions> = {}): Adapter & Method {
  const { trainTextEncoder = false, textEncoderLr, rsLora = false, loraPlus = 1 } = options;
  const plan = planOf(options);
  const settings = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  );
  const adapter = changingAdapter(plan.changes, plan.dropouts, {
    name: 'lora',
    options: settings,
    at: layersAt(targetGlobs(options.targets ?? plan.targets, trainTextEncoder)),
    lr: ({ path }) => (path.startsWith('text_encoder.') ? textEncoderLr : undefined),
    // LoRA+ (Hayou et al. 2024, section 5).
    lrFactor: (_, parameter) => (parameter === 'lora_up' ? loraPlus : 1),
    files: loraFiles(plan, rsLora),
  });
  return {
    ...adapter,
    options: settings,
    adapters: [adapter],
    objective: denoise(options),
    preset: loraPreset,
  };
}

/** LoRA as recipes and the command line know it. */
export const loraPreset: Preset<typeof loraSettings> = {
  name: 'lora',
  summary: 'learn a small change of many layers: a style, a person, a thing',
  schema: loraSettings,
  flavours: ['diffusers', 'kohya'],
  // The rate is that of diffusers' README and usual with kohya's scripts, whose own default of 2e-6 is meant for whole models.
  defaults: () => ({
    optimizer: { name: 'adamw', lr: 1e-4, weightDecay: 0.01 },
    clip: 1,
    steps: 1600,
  }),
  problems: ({ textEncoderLr, trainTextEncoder, targets = '' }) =>
    textEncoderLr !== undefined && !trainTextEncoder && !/text_encoder/.test(String(targets))
      ? ['textEncoderLr is given, but the text encoder is not trained: say trainTextEncoder: true']
      : [],
  assemble: lora,
  example:
    '--base nano --images photos/boy --template "a drawing of sks boy" --rank 8 --steps 500 --out boy.safetensors',
};
