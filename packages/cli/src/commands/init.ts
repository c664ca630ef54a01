import { Argument, type Command } from 'commander';
import { UsageError } from '../failures/usageError.ts';
import { checkTarget } from '../files/checkTarget.ts';
import { basePath } from '../options/base.ts';
import { wholeNumber } from '../options/values.ts';
import {
  complete,
  type CommonOptions,
  defineCommand,
  requireOption,
} from '../program/defineCommand.ts';
import { Output } from '../terminal/output.ts';
import { seconds } from '../terminal/quantities.ts';

const names = ['sd15', 'sd21', 'x4-upscaler', 'sdxl', 'nano', 'tiny', 'upscaler-tiny'] as const;
type Name = (typeof names)[number];

interface InitOptions extends CommonOptions {
  readonly out: string;
  readonly seed: number;
  readonly force?: boolean;
}

/** `sdft init`: random weights of a known architecture, in diffusers layout. */
export function initCommand(summary: string): Command {
  const command = defineCommand('init', summary).addArgument(
    new Argument('<architecture>').choices(names),
  );
  requireOption(command, '--out <dir>', 'folder to make')
    .option(
      '--seed <n>',
      'the same seed gives the same files',
      wholeNumber('--seed', 0, 2 ** 32 - 1),
      0,
    )
    .option('--force', 'replace a model that is there')
    .action(run);
  return complete(command, 'init tiny --out tiny-random', 'init sd15 --out sd15-random --seed 1');
}

async function run(
  name: Name,
  { out, seed, force = false, json = false }: InitOptions,
): Promise<void> {
  if (name === 'sdxl')
    throw new UsageError(
      `sdxl: this version has no networks of SDXL; ${names.filter((name) => name !== 'sdxl').join(', ')} are known`,
    );
  checkTarget('--out', out, force, 'folder');
  const output = new Output(json);
  const { initCheckpoint, openCheckpoint } = await import('@sdft/models/node');
  const began = performance.now();
  output.note(`writing ${out} ...`);
  await initCheckpoint(
    name === 'nano' ? await openCheckpoint(await basePath('nano')) : name,
    seed,
    out,
    { force },
  );
  const took = (performance.now() - began) / 1000;
  output.print(`${out}: random weights of ${name}, seed ${seed}, in ${seconds(took)}`);
  output.record({ architecture: name, out, seed, seconds: took });
}
