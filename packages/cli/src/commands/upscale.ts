import type { Command } from 'commander';
import {
  addModelOptions,
  addResultOptions,
  addSamplingOptions,
  type DrawingFlags,
} from '../options/drawing.ts';
import { wholeNumber } from '../options/values.ts';
import { complete, defineCommand } from '../program/defineCommand.ts';

export interface UpscaleFlags extends DrawingFlags {
  readonly prompt: string;
  readonly noiseLevel: number;
}

/** `sdft upscale`: pictures, enlarged by a model that is made for it, with what was trained. */
export function upscaleCommand(summary: string): Command {
  const command = addModelOptions(defineCommand('upscale', summary))
    .argument('<pictures...>', 'the pictures to enlarge: jpeg, png or webp')
    .option('--prompt <text>', 'what is on them', '')
    .option('--negative <text>', 'what is not on them')
    .option('--seed <n>', 'of each picture (default: random)', wholeNumber('--seed', 0))
    .option(
      '--noise-level <n>',
      'noise in the small pictures; more lets the base invent more',
      wholeNumber('--noise-level', 0),
      20,
    );
  // As diffusers' StableDiffusionUpscalePipeline.
  addSamplingOptions(command, { steps: 75, cfg: 9 })
    .option(
      '--latents <file>',
      'safetensors with latents [1,C,h,w] to start from, and low_res_noise [1,3,h,w] where wanted',
    )
    .action(async (pictures: readonly string[], flags: UpscaleFlags) => {
      const { upscale } = await import('../generation/upscale.ts');
      await upscale(pictures, flags);
    });
  return complete(
    addResultOptions(command, 'folder for the large pictures, NAME.png'),
    'upscale pictures/00000-seed-1.png --base rex-upscaler --prompt "a photo of sks dog" --noise-level 0 --out large',
  );
}
