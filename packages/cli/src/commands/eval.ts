import { Argument, type Command } from 'commander';
import { checkTarget } from '../files/checkTarget.ts';
import { addBackendOption, backendNamed, type BackendName } from '../options/backend.ts';
import { addBaseOptions, type BaseOptions, openModel } from '../options/base.ts';
import { wholeNumber } from '../options/values.ts';
import {
  complete,
  type CommonOptions,
  defineCommand,
  requireOption,
} from '../program/defineCommand.ts';
import { Output } from '../terminal/output.ts';
import { seconds } from '../terminal/quantities.ts';

const moduleNames = ['unet', 'text', 'vae-encode', 'vae-decode'] as const;
export type ModuleName = (typeof moduleNames)[number];

interface EvalOptions extends CommonOptions, BaseOptions {
  readonly inputs: string;
  readonly output: string;
  readonly backend: BackendName;
  readonly clipSkip: number;
  readonly force?: boolean;
}

const TENSORS = `
Inputs and outputs (any batch, any size):
  unet        sample [B,4,h,w], timestep [B], encoder_hidden_states [B,L,C]  ->  sample
              (upscaling models: sample [B,7,h,w] and class_labels [B], the noise levels)
  text        input_ids [B,77] (int64)  ->  last_hidden_state, pooled
  vae-encode  pixels [B,3,H,W] in -1..1  ->  mean, logvar [B,4,h,w], unscaled
  vae-decode  latents [B,4,h,w], divided by the scaling factor  ->  pixels`;

/** `sdft eval`: one network on the tensors of a file. */
export function evalCommand(summary: string): Command {
  const command = defineCommand('eval', summary).addArgument(
    new Argument('<module>', 'which network').choices(moduleNames),
  );
  addBaseOptions(command);
  requireOption(command, '--inputs <file>', 'safetensors file with the inputs');
  requireOption(command, '--output <file>', 'safetensors file to write');
  command
    .option(
      '--clip-skip <n>',
      'text: 1 takes the last layer, 2 the one before, with the final norm',
      wholeNumber('--clip-skip', 1),
      1,
    )
    .option('--force', 'overwrite the output');
  addBackendOption(command, ['cpu', 'reference'], 'what computes; reference is slow and exact');
  command.addHelpText('after', TENSORS).action(run);
  return complete(
    command,
    'eval unet --base nano --inputs in.safetensors --output out.safetensors',
  );
}

async function run(module: ModuleName, options: EvalOptions): Promise<void> {
  const output = new Output(options.json ?? false);
  const force = options.force ?? false;
  const backend = await backendNamed(options.backend);
  checkTarget('--output', options.output, force);
  const { evaluate } = await import('../evaluation/evaluate.ts');
  const checkpoint = await openModel(options, output);
  const result = await evaluate(module, checkpoint, { ...options, backend });
  const { writeSafetensors } = await import('@sdft/models/node');
  await writeSafetensors(options.output, result.tensors, { force });
  const shapes = [...result.tensors].map(([name, { shape }]) => `${name} [${shape.join(', ')}]`);
  output.print(`${options.output}: ${shapes.join(', ')}, in ${seconds(result.seconds)}`);
  output.record({
    module,
    output: options.output,
    backend: backend.name,
    tensors: Object.fromEntries([...result.tensors].map(([name, { shape }]) => [name, shape])),
    seconds: result.seconds,
  });
}
