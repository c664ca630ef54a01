import type { Emphasis, SamplerName, SigmaSpacing, TimestepSpacing } from '@sdft/models';
import type { PromptSyntax } from '@sdft/pipeline';
import { type Command, Option } from 'commander';
import { type CommonOptions, requireOption } from '../program/defineCommand.ts';
import { addBackendOption, type BackendName } from './backend.ts';
import { addBaseOptions, type BaseOptions } from './base.ts';
import { realNumber, several, wholeNumber } from './values.ts';

/** Flags of every command that draws; those of files with what was learned are beside them, by the kinds' names. */
export interface DrawingFlags extends CommonOptions, BaseOptions {
  readonly negative?: string;
  readonly seed?: number;
  readonly steps: number;
  readonly sampler: SamplerName;
  readonly cfg: number;
  readonly clipSkip: number;
  readonly promptSyntax: PromptSyntax;
  readonly emphasis: Emphasis;
  readonly spacing?: TimestepSpacing;
  readonly sigmas: SigmaSpacing;
  readonly latents?: string;
  readonly saveLatents?: string;
  readonly saveTrajectory?: string;
  readonly out: string;
  readonly backend: BackendName;
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

/** Declares the base, and files with what was learned. */
export function addModelOptions(command: Command): Command {
  addBaseOptions(command);
  for (const [name, what] of Object.entries(learnedFlags))
    command
      .option(`--${name} <file[:strength]>`, `${what}; again for more`, several)
      .option(`--${name}-dir <dir>`, `folder in which prompts find ${what} by name`);
  return command;
}

/** Declares how prompts are read and noise is taken away. */
export function addSamplingOptions(
  command: Command,
  usual: { readonly steps: number; readonly cfg: number },
): Command {
  return command
    .option('--steps <n>', 'sampler steps', wholeNumber('--steps', 1), usual.steps)
    .addOption(
      new Option('--sampler <name>', 'how noise is taken away')
        .choices(samplerNames)
        .default('ddim'),
    )
    .option('--cfg <x>', 'strength of guidance; 1 is none', realNumber('--cfg'), usual.cfg)
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
    );
}

/** Declares where results go, and what computes them. */
export function addResultOptions(command: Command, out: string): Command {
  command
    .option('--save-latents <file>', 'write the final latents, as the sampler leaves them')
    .option('--save-trajectory <file>', 'write latents.K after each sampler step K');
  requireOption(command, '--out <dir>', out).option('--force', 'overwrite what is there');
  return addBackendOption(
    command,
    ['cpu', 'reference'],
    'what computes; reference is slow and exact',
  );
}
