import { type Command, Option } from 'commander';
import { size, type Size } from '../options/values.ts';
import {
  complete,
  type CommonOptions,
  defineCommand,
  requireOption,
} from '../program/defineCommand.ts';

export interface PrepareFlags extends CommonOptions {
  readonly out: string;
  readonly resolution: Size;
  readonly fit: 'crop' | 'pad' | 'bucket';
  readonly background?: string;
  readonly caption?: string;
  readonly prefix?: string;
  readonly underscoresToSpaces?: boolean;
  readonly force?: boolean;
}

/** `sdft prepare`: pictures made ready for training, in a new folder. */
export function prepareCommand(summary: string): Command {
  const command = defineCommand('prepare', summary).argument(
    '<dir>',
    'the folder with the pictures: jpeg, png, webp; they are left as they are',
  );
  requireOption(command, '--out <dir>', 'folder for the new pictures and their captions')
    .option('--resolution <size>', 'in pixels, such as 512 or 512x768', size('--resolution'), {
      width: 512,
      height: 512,
    })
    .addOption(
      new Option(
        '--fit <how>',
        'crop cuts what is too long; pad fills what is too short; bucket crops to the nearest of several shapes, a folder for each',
      )
        .choices(['crop', 'pad', 'bucket'])
        .default('crop'),
    )
    .option('--background <colour>', 'what pad fills with (default: #ffffff)')
    .option(
      '--caption <text>',
      'the caption of pictures that have no .txt (default: what their names say)',
    )
    .option('--prefix <text>', 'comes before every caption, such as the trigger word')
    .option('--underscores-to-spaces', 'in captions, as taggers write them')
    .option('--force', 'write over what is there')
    .action(async (folder: string, flags: PrepareFlags) => {
      const { prepare } = await import('../preparation/prepare.ts');
      await prepare(folder, flags);
    });
  return complete(
    command,
    'prepare photos --out ready --resolution 512',
    'prepare drawings --out ready --resolution 768 --fit bucket --prefix "ink style"',
  );
}
