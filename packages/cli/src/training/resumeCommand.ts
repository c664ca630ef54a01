import { commandLine } from '@sdft/pipeline';
import type { RunOptions } from '../commands/train.ts';

/** The command line that goes on with an interrupted run: its recipe lies in its folder, the rest is said again. */
export function resumeCommand(
  folder: string,
  { replay, backend, force }: Pick<RunOptions, 'replay' | 'backend' | 'force'>,
): string {
  return commandLine([
    ...['sdft', 'train', '--resume', folder],
    ...(replay === undefined ? [] : ['--replay', replay]),
    ...(backend === 'cpu' ? [] : ['--backend', backend]),
    ...(force ? ['--force'] : []),
  ]);
}
