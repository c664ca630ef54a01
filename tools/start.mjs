// The experiment: five methods of fine-tuning teach nano the hand of an artist that it never saw; the same prompts drawn with each.
// npm start [-- --quick] [-- --open]   writes to out/ (out/quick/); exit status 130 where Ctrl-C ended it, and the next one goes on there
import { spawn } from 'node:child_process';
import { relative } from 'node:path';
import { readArguments, UnknownArgument, usage } from './start/arguments.ts';
import { experiment } from './start/experiment.ts';
import { places } from './start/folders.ts';
import { CommandFailed } from './start/program.ts';

/**
 * Opens a file with what the machine opens it with; where it cannot, its path is on the screen.
 * @param {string} file
 */
function open(file) {
  const [program, ...args] =
    process.platform === 'win32'
      ? ['cmd', '/c', 'start', '', file]
      : [process.platform === 'darwin' ? 'open' : 'xdg-open', file];
  const opened = spawn(program, args, { stdio: 'ignore', detached: true });
  opened.once('error', () => console.error(`${program} could not be started; open it by hand.`));
  opened.unref();
}

try {
  const asked = readArguments(process.argv.slice(2));
  if (asked.help) console.log(usage);
  else {
    await experiment(asked);
    const { report } = places(asked.quick);
    if (asked.open) open(report);
    else
      console.log(`Open ${relative(process.cwd(), report)} in a browser, or: npm start -- --open`);
  }
} catch (error) {
  if (error instanceof UnknownArgument) {
    console.error(`npm start: ${error.message}`);
    process.exitCode = 2;
  } else if (error instanceof CommandFailed) {
    console.error(
      error.status === 130
        ? 'Interrupted; what was learned so far is saved. npm start goes on there.'
        : `npm start: ${error.message}`,
    );
    process.exitCode = error.status;
  } else throw error;
}
