import { type Command, Option } from 'commander';
import { addBaseOptions, type BaseOptions } from '../options/base.ts';
import { several } from '../options/values.ts';
import {
  complete,
  type CommonOptions,
  defineCommand,
  requireOption,
} from '../program/defineCommand.ts';

export interface MergeFlags extends CommonOptions, BaseOptions {
  readonly lora: readonly string[];
  readonly out: string;
  readonly dtype?: 'f32' | 'f16' | 'bf16';
  readonly force?: boolean;
}

/** `sdft merge`: a base with LoRA files added into its weights. */
export function mergeCommand(summary: string): Command {
  const command = defineCommand('merge', summary);
  addBaseOptions(command);
  requireOption(
    command,
    '--lora <file[:strength]>',
    'a trained LoRA or a relative; again for more',
    several,
  );
  requireOption(
    command,
    '--out <path>',
    'what to make: a name without ending is a folder in diffusers layout, .safetensors and .ckpt are single files',
  )
    .addOption(
      new Option(
        '--dtype <type>',
        'store every weight as this (default: as the base has it)',
      ).choices(['f32', 'f16', 'bf16']),
    )
    .option('--force', 'overwrite what is there')
    .action(async (flags: MergeFlags) => {
      const { merge } = await import('../loraTools/merge.ts');
      await merge(flags);
    });
  return complete(
    command,
    'merge --base nano --lora boy.safetensors:0.8 --lora style.safetensors --out merged.safetensors',
  );
}
