import type { RunOptions } from '../commands/train.ts';

/** The command line that goes on with an interrupted run: its recipe lies in its folder, the rest is said again. */
export function resumeCommand(
  folder: string,
  { replay, backend, force }: Pick<RunOptions, 'replay' | 'backend' | 'force'>,
): string {
  return [
    ...['sdft', 'train', '--resume', folder],
    ...(replay === undefined ? [] : ['--replay', replay]),
    ...(backend === 'cpu' ? [] : ['--backend', backend]),
    ...(force ? ['--force'] : []),
  ]
    .map(quoted)
    .join(' ');
}

/** As a POSIX shell reads it back. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
