import type { Command } from 'commander';
import { explain } from './failures/explain.ts';
import { type Status, status } from './failures/status.ts';
import { UsageError } from './failures/usageError.ts';
import { commands } from './program/commands.ts';
import { askToFinish, watchForInterruption } from './program/interruption.ts';
import { overview } from './program/overview.ts';
import { version } from './version.ts';

/**
 * Runs the command line.
 * @param args what stands after `sdft`
 * @returns the exit status: 0 done, 2 the input or the machine is wrong, 130 interrupted, 1 a fault of sdft
 */
export async function main(args: readonly string[]): Promise<Status> {
  process.stdout.on('error', endUnheard);
  process.stderr.on('error', () => process.exit(status.yours));
  watchForInterruption();
  const [name = '--help'] = args;
  let called = 'sdft';
  const told = async (error: unknown): Promise<Status> => {
    const failure = await explain(error, called, args.includes('--debug'));
    process.stderr.write(`${failure.text}\n`);
    return failure.status;
  };
  // What nobody waited for: an error in a timer or a listener.
  process.on('uncaughtException', (error) => void told(error).then((code) => process.exit(code)));
  try {
    if (name === '--help' || name === '-h' || name === 'help') process.stdout.write(overview());
    else if (name === '--version' || name === '-V') process.stdout.write(`${version()}\n`);
    else {
      const program = await commandNamed(name, args.slice(1));
      called = `sdft ${name}`;
      await program.parseAsync([...args], { from: 'user' });
    }
    return status.done;
  } catch (error) {
    if (error instanceof Error && error.name === 'Shown') return status.done;
    return told(error);
  }
}

/** The program with the one command that is called. */
async function commandNamed(name: string, args: readonly string[]): Promise<Command> {
  const entry = commands.find((command) => command.name === name);
  if (entry === undefined) {
    const what = name.startsWith('-') ? 'flag' : 'command';
    throw new UsageError(`there is no ${what} ${name}. sdft --help lists the commands`, {
      name,
      known: what === 'flag' ? ['--help', '--version'] : commands.map((command) => command.name),
    });
  }
  const [{ quietCommand }, define] = await Promise.all([
    import('./program/defineCommand.ts'),
    entry.load(),
  ]);
  return quietCommand('sdft')
    .enablePositionalOptions()
    .addCommand(await define(entry.summary, args));
}

/**
 * What we say cannot be written any more. Who reads it may have stopped reading, as `head` does: that is an interruption. Else it goes to a
 * file on a disk that is full.
 */
function endUnheard(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') {
    if (!askToFinish()) process.exit(status.interrupted);
    return;
  }
  process.stderr.write(`sdft: its output cannot be written: ${error.message}; make room\n`);
  process.exit(status.yours);
}
