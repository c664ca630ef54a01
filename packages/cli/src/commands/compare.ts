import { Option, type Command } from 'commander';
import { addBackendOption, type BackendName } from '../options/backend.ts';
import { realNumber, type Size, size, wholeNumber } from '../options/values.ts';
import {
  complete,
  type CommonOptions,
  defineCommand,
  requireOption,
} from '../program/defineCommand.ts';

export interface CompareFlags extends CommonOptions {
  readonly prompts: string;
  readonly out: string;
  readonly n: number;
  readonly seed: number;
  readonly steps: number;
  readonly cfg: number;
  readonly size?: Size;
  readonly word?: string;
  readonly style?: string;
  readonly heldOut?: string;
  readonly title?: string;
  readonly open?: boolean;
  readonly backend: BackendName;
  readonly force?: boolean;
}

/** `sdft compare`: runs beside each other on one page. */
export function compareCommand(summary: string): Command {
  const command = defineCommand('compare', summary).argument(
    '<run...>',
    "a run's folder, or LABEL=FOLDER to say what it is called",
  );
  requireOption(
    command,
    '--prompts <file>',
    'text file with a prompt a line; {} stands for the word of each run',
  );
  requireOption(command, '--out <file>', 'the page, an .html file; its parts are kept beside it');
  command
    .option('-n <count>', 'pictures of each prompt', wholeNumber('-n', 1), 2)
    .option('--seed <n>', 'of the first picture of each prompt', wholeNumber('--seed', 0), 1)
    .option('--steps <n>', 'sampler steps', wholeNumber('--steps', 1), 25)
    .option('--cfg <x>', 'strength of guidance; 1 is none', realNumber('--cfg'), 4)
    .option('--size <WxH>', 'pixels (default: what the base was trained at)', size('--size'))
    .option('--word <word>', 'what {} is for the base, and for runs that were taught no word')
    .option(
      '--style <artist>',
      'the artist that the style score asks for (default: the one of the training pictures)',
    )
    .option(
      '--held-out <dir>',
      'pictures like those that the base came from, to measure forgetting (default: those of nano)',
    )
    .option('--title <text>', 'title of the page')
    .addOption(new Option('--open', 'show the page in a browser when it is done'))
    .option('--force', 'overwrite the page that is there');
  addBackendOption(command, ['cpu', 'reference'], 'what computes; reference is slow and exact');
  command.action(async (runs: readonly string[], flags: CompareFlags) => {
    const { compare } = await import('../comparison/compare.ts');
    await compare(runs, flags);
  });
  return complete(
    command,
    'compare runs/boy "LoRA, rank 8=runs/boy-2" --prompts prompts.txt --word boy --out report.html',
  );
}
