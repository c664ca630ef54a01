/**
 * The command line that goes on with an interrupted run.
 * @param args of the command line that began it
 */
export function resumeCommand(args: readonly string[], folder: string): string {
  const kept = without(args, ['--resume', '--log-dir']);
  return ['sdft', ...kept, '--resume', folder].map(quoted).join(' ');
}

/** Without these flags and what follows them. */
function without(args: readonly string[], flags: readonly string[]): string[] {
  return args.filter(
    (arg, i) =>
      !flags.includes(arg) &&
      !flags.includes(args[i - 1] ?? '') &&
      !flags.some((flag) => arg.startsWith(`${flag}=`)),
  );
}

/** As a POSIX shell reads it back. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
