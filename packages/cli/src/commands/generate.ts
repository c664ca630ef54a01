import type { Emphasis, SamplerName, SigmaSpacing, TimestepSpacing } from '@sdft/models';
import type { PromptSyntax } from '@sdft/pipeline';
import { type Command, Option } from 'commander';
import { addBackendOption, type BackendName } from '../options/backend.ts';
import { addBaseOptions, type BaseOptions } from '../options/base.ts';
import { realNumber, several, type Size, size, wholeNumber } from '../options/values.ts';
import {
  complete,
  type CommonOptions,
  defineCommand,
  requireOption,
} from '../program/defineCommand.ts';

export interface GenerateFlags extends CommonOptions, BaseOptions {
  readonly prompt?: readonly string[];
  readonly negative?: string;
  readonly n?: number;
  readonly seed?: number;
  readonly steps: number;
  readonly sampler: SamplerName;
  readonly cfg: number;
  readonly size?: Size;
  readonly clipSkip: number;
  readonly promptSyntax: PromptSyntax;
  readonly emphasis: Emphasis;
  readonly spacing?: TimestepSpacing;
  readonly sigmas: SigmaSpacing;
  readonly promptIds?: string;
  readonly latents?: string;
  readonly saveLatents?: string;
  readonly saveTrajectory?: string;
  readonly out: string;
  readonly backend: BackendName;
  readonly initImage?: string;
  readonly mask?: string;
  readonly strength?: number;
  readonly like?: string;
  readonly force?: boolean;
}

// The samplers' own list would take half a second to load for `--help`.
const samplerNames = ['ddim', 'euler', 'euler-a', 'plms', 'dpmpp-2m'] satisfies SamplerName[];

/** Kinds of files with what was learned: those of `learnedKinds`, which would take as long. */
export const learnedFlags: Readonly<Record<string, string>> = {
  embedding: 'a trained word',
  hypernetwork: 'a trained hypernetwork',
  lora: 'a trained LoRA or a relative',
};

/** `sdft generate`: pictures of prompts, with what was trained. */
export function generateCommand(summary: string): Command {
  const command = defineCommand('generate', summary);
  addBaseOptions(command);
  for (const [name, what] of Object.entries(learnedFlags))
    command
      .option(`--${name} <file[:strength]>`, `${what}; again for more`, several)
      .option(`--${name}-dir <dir>`, `folder in which prompts find ${what} by name`);
  command
    .option('--prompt <text>', 'what to draw; again for more prompts', several)
    .option('--negative <text>', 'what not to draw')
    .option('-n <count>', 'pictures of each prompt (default: 1)', wholeNumber('-n', 1))
    .option(
      '--seed <n>',
      'of the first picture of each prompt, the next ones count on (default: random)',
      wholeNumber('--seed', 0),
    )
    .option('--steps <n>', 'sampler steps', wholeNumber('--steps', 1), 25)
    .addOption(
      new Option('--sampler <name>', 'how noise is taken away')
        .choices(samplerNames)
        .default('ddim'),
    )
    .option('--cfg <x>', 'strength of guidance; 1 is none', realNumber('--cfg'), 7.5)
    .option('--size <WxH>', 'pixels (default: what the base was trained at)', size('--size'))
    .option(
      '--clip-skip <n>',
      'which layer of the text encoder counts, from its end',
      wholeNumber('--clip-skip', 1),
      1,
    )
    .addOption(
      new Option(
        '--prompt-syntax <syntax>',
        'a1111: (more:1.2), [less], BREAK, [from:to:10], [this|that] are read as A1111 does',
      )
        .choices(['plain', 'a1111'] satisfies PromptSyntax[])
        .default('plain'),
    )
    .addOption(
      new Option('--emphasis <how>', "what weights do, as in A1111's settings")
        .choices(['original', 'no-norm', 'ignore', 'none'] satisfies Emphasis[])
        .default('original'),
    )
    .addOption(
      new Option(
        '--spacing <name>',
        'which timesteps are visited (default: as the base says)',
      ).choices(['leading', 'linspace', 'trailing']),
    )
    .addOption(
      new Option('--sigmas <name>', 'noise levels').choices(['normal', 'karras']).default('normal'),
    )
    .option(
      '--prompt-ids <file>',
      'safetensors with cond_ids and uncond_ids [B,77], in place of prompts',
    )
    .option(
      '--latents <file>',
      'safetensors with latents [B,C,h,w] to start from: unit Gaussian noise',
    )
    .option('--save-latents <file>', 'write the final latents, as the sampler leaves them')
    .option('--save-trajectory <file>', 'write latents.K after each sampler step K')
    .option('--init-image <file>', 'a picture to start from')
    .option(
      '--strength <x>',
      'how far that picture is changed, above 0 to 1 (default: 0.8, with a mask 1)',
      realNumber('--strength', 0),
    )
    .option('--mask <file>', 'for inpainting bases: white where the picture is drawn anew')
    .option('--like <picture>', 'settings of a PNG that sdft or A1111 drew; flags override them')
    .action(async (flags: GenerateFlags) => {
      const { generate } = await import('../generation/generate.ts');
      await generate(flags, (attribute) => command.getOptionValueSource(attribute) === 'cli');
    });
  requireOption(command, '--out <dir>', 'folder for the pictures, NUMBER-seed-SEED.png').option(
    '--force',
    'overwrite what is there',
  );
  addBackendOption(command, ['cpu', 'reference'], 'what computes; reference is slow and exact');
  return complete(
    command,
    'generate --base nano --embedding boy.safetensors --prompt "a drawing of <boy>" -n 4 --seed 1 --out pictures',
  );
}
