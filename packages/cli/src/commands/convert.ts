import { type Command, Option } from 'commander';
import { addReadingOptions, type ReadingOptions } from '../options/base.ts';
import { complete, type CommonOptions, defineCommand } from '../program/defineCommand.ts';

export interface ConvertFlags extends CommonOptions, ReadingOptions {
  readonly format?: 'diffusers' | 'ldm' | 'a1111' | 'kohya' | 'peft';
  readonly dtype?: 'f32' | 'f16' | 'bf16';
  readonly token?: string;
  readonly force?: boolean;
}

/** `sdft convert`: a checkpoint, an embedding or a LoRA in another layout. */
export function convertCommand(summary: string): Command {
  const command = defineCommand('convert', summary)
    .argument('<in>', 'a checkpoint (folder or file), an embedding or a LoRA')
    .argument('<out>', 'what to make')
    .addOption(
      new Option(
        '--format <name>',
        'layout of what is made (default: by its name: .safetensors or .ckpt of a checkpoint is ldm, a folder diffusers; .pt of an embedding is a1111, .safetensors and .bin diffusers; of a LoRA: to be said)',
      ).choices(['diffusers', 'ldm', 'a1111', 'kohya', 'peft']),
    )
    .addOption(
      new Option(
        '--dtype <type>',
        'checkpoints and LoRA: store every weight as this (default: as it is)',
      ).choices(['f32', 'f16', 'bf16']),
    )
    .option('--token <word>', 'embeddings: what a diffusers file calls it (default: as it was)');
  addReadingOptions(command)
    .option('--force', 'overwrite what is there')
    .action(async (from: string, to: string, flags: ConvertFlags) => {
      const { convert } = await import('../conversion/convert.ts');
      await convert(from, to, flags);
    });
  return complete(
    command,
    'convert boy.safetensors boy.pt',
    'convert model.ckpt model-folder --dtype f16',
    'convert lora.safetensors for-a1111.safetensors --format kohya',
  );
}
