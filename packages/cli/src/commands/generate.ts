import type { Command } from 'commander';
import {
  addModelOptions,
  addResultOptions,
  addSamplingOptions,
  type DrawingFlags,
} from '../options/drawing.ts';
import { realNumber, several, type Size, size, wholeNumber } from '../options/values.ts';
import { complete, defineCommand } from '../program/defineCommand.ts';

export interface GenerateFlags extends DrawingFlags {
  readonly prompt?: readonly string[];
  readonly n?: number;
  readonly size?: Size;
  readonly promptIds?: string;
  readonly initImage?: string;
  readonly mask?: string;
  readonly strength?: number;
  readonly like?: string;
}

/** `sdft generate`: pictures of prompts, with what was trained. */
export function generateCommand(summary: string): Command {
  const command = addModelOptions(defineCommand('generate', summary))
    .option('--prompt <text>', 'what to draw; again for more prompts', several)
    .option('--negative <text>', 'what not to draw')
    .option('-n <count>', 'pictures of each prompt (default: 1)', wholeNumber('-n', 1))
    .option(
      '--seed <n>',
      'of the first picture of each prompt, the next ones count on (default: random)',
      wholeNumber('--seed', 0),
    );
  addSamplingOptions(command, { steps: 25, cfg: 7.5 })
    .option('--size <WxH>', 'pixels (default: what the base was trained at)', size('--size'))
    .option(
      '--prompt-ids <file>',
      'safetensors with cond_ids and uncond_ids [B,77], in place of prompts',
    )
    .option(
      '--latents <file>',
      'safetensors with latents [B,C,h,w] to start from: unit Gaussian noise',
    )
    .option('--init-image <file>', 'a picture to start from')
    .option(
      '--strength <x>',
      'how far that picture is changed, above 0 to 1 (default: 0.8, with a mask 1)',
      realNumber('--strength', 0),
    )
    .option(
      '--mask <file>',
      'for inpainting bases: white where the picture is drawn anew (default: everywhere)',
    )
    .option('--like <picture>', 'settings of a PNG that sdft or A1111 drew; flags override them')
    .action(async (flags: GenerateFlags) => {
      const { generate } = await import('../generation/generate.ts');
      await generate(flags, (attribute) => command.getOptionValueSource(attribute) === 'cli');
    });
  return complete(
    addResultOptions(command, 'folder for the pictures, NUMBER-seed-SEED.png'),
    'generate --base nano --embedding boy.safetensors --prompt "a drawing of <boy>" -n 4 --seed 1 --out pictures',
  );
}
