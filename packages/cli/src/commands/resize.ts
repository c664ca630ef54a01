import { type Command, Option } from 'commander';
import { realNumber, wholeNumber } from '../options/values.ts';
import {
  complete,
  type CommonOptions,
  defineCommand,
  requireOption,
} from '../program/defineCommand.ts';

export interface ResizeFlags extends CommonOptions {
  readonly rank: number;
  readonly convRank?: number;
  readonly rule?: 'sv_ratio' | 'sv_fro' | 'sv_cumulative';
  readonly value?: number;
  readonly format?: 'kohya' | 'peft';
  readonly dtype?: 'f32' | 'f16' | 'bf16';
  readonly force?: boolean;
}

/** `sdft resize`: a LoRA of another rank that does nearly the same. */
export function resizeCommand(summary: string): Command {
  const command = defineCommand('resize', summary)
    .argument('<in>', 'a LoRA')
    .argument('<out>', 'what to make, .safetensors');
  requireOption(
    command,
    '--rank <n>',
    'of linear layers; with --rule the largest one',
    wholeNumber('--rank', 1),
  )
    .option(
      '--conv-rank <n>',
      'of convolutions (default: that of --rank)',
      wholeNumber('--conv-rank', 1),
    )
    .addOption(
      new Option(
        '--rule <name>',
        'each layer keeps the singular values above the largest divided by --value (sv_ratio), or those that make up the part --value of their norm (sv_fro) or sum (sv_cumulative)',
      ).choices(['sv_ratio', 'sv_fro', 'sv_cumulative']),
    )
    .option('--value <x>', 'what --rule goes by', realNumber('--value', 0))
    .addOption(
      new Option('--format <name>', 'layout of the file (default: that of <in>)').choices([
        'kohya',
        'peft',
      ]),
    )
    .addOption(
      new Option('--dtype <type>', 'store numbers as this (default: f32)').choices([
        'f32',
        'f16',
        'bf16',
      ]),
    )
    .option('--force', 'overwrite what is there')
    .action(async (from: string, to: string, flags: ResizeFlags) => {
      const { resize } = await import('../loraTools/resize.ts');
      await resize(from, to, flags);
    });
  return complete(
    command,
    'resize lora.safetensors smaller.safetensors --rank 4',
    'resize lora.safetensors smaller.safetensors --rank 32 --rule sv_fro --value 0.9',
  );
}
