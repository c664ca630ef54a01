import { type Command, Option } from 'commander';
import { addBaseOptions, type BaseOptions } from '../options/base.ts';
import { realNumber, wholeNumber } from '../options/values.ts';
import {
  complete,
  type CommonOptions,
  defineCommand,
  requireOption,
} from '../program/defineCommand.ts';

export interface ExtractFlags extends CommonOptions, BaseOptions {
  readonly tuned: string;
  readonly out: string;
  readonly rank: number;
  readonly convRank?: number;
  readonly clampQuantile: number;
  readonly minDiff: number;
  readonly format: 'kohya' | 'peft';
  readonly dtype?: 'f32' | 'f16' | 'bf16';
  readonly force?: boolean;
}

/** `sdft extract`: the difference of two models as a LoRA. */
export function extractCommand(summary: string): Command {
  const command = defineCommand('extract', summary);
  addBaseOptions(command);
  requireOption(command, '--tuned <base>', 'the model that was made from the base');
  requireOption(command, '--out <file>', 'the LoRA, .safetensors')
    .option('--rank <n>', 'of linear layers and 1x1 convolutions', wholeNumber('--rank', 1), 4)
    .option(
      '--conv-rank <n>',
      'of larger convolutions (default: they are left out)',
      wholeNumber('--conv-rank', 1),
    )
    .option(
      '--clamp-quantile <x>',
      "numbers beyond this quantile of a layer's factors are cut off there; 1: none",
      realNumber('--clamp-quantile', 0),
      0.99,
    )
    .option(
      '--min-diff <x>',
      'the text encoder is left out where no number differs by more',
      realNumber('--min-diff', 0),
      0.01,
    )
    .addOption(
      new Option(
        '--format <name>',
        'layout of the file: for A1111 and its relatives, or for diffusers',
      )
        .choices(['kohya', 'peft'])
        .default('kohya'),
    )
    .addOption(
      new Option('--dtype <type>', 'store numbers as this (default: f32)').choices([
        'f32',
        'f16',
        'bf16',
      ]),
    )
    .option('--force', 'overwrite what is there')
    .action(async (flags: ExtractFlags) => {
      const { extract } = await import('../loraTools/extract.ts');
      await extract(flags);
    });
  return complete(
    command,
    'extract --base nano --tuned tuned --rank 8 --out difference.safetensors',
  );
}
