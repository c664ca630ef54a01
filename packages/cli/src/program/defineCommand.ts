import { Command, type CommanderError } from 'commander';
import { UsageError } from '../failures/usageError.ts';

/** Thrown where help or the version was asked for and has been printed. */
export class Shown extends Error {
  override readonly name = 'Shown';
}

/** What every command has. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly debug?: boolean;
}

/** A command that throws instead of printing mistakes and ending the process. */
export function quietCommand(name: string): Command {
  const command = new Command(name);
  return command
    .helpOption('-h, --help', 'show this help')
    .helpCommand(false)
    .showSuggestionAfterError(false)
    .configureOutput({ writeErr: () => {} })
    .exitOverride((error) => {
      throw translated(command, error);
    });
}

/** A command of sdft, to be completed by `complete`. */
export function defineCommand(name: string, summary: string): Command {
  return quietCommand(name).description(summary);
}

/** Declares an option that has to be given. Commander's own way would complain about it before it complains about a misspelt one. */
export function requireOption(
  command: Command,
  flags: string,
  description: string,
  parse?: (text: string, before?: never) => unknown,
): Command {
  const option = command.createOption(flags, description);
  if (parse) option.argParser(parse as (text: string, before: unknown) => unknown);
  return command.addOption(option).hook('preAction', () => {
    // An empty text is a variable of the shell that was never set.
    if ([undefined, ''].includes(command.getOptionValue(option.attributeName()) as string))
      throw new UsageError(
        `${option.flags} is missing: ${description}. See ${fullName(command)} --help`,
      );
  });
}

/**
 * Adds, after its own, the options that each command has, and examples below its help.
 * @param examples each without `sdft`
 */
export function complete(command: Command, ...examples: readonly string[]): Command {
  const title = examples.length === 1 ? 'Example:' : 'Examples:';
  return command
    .option('--json', 'one JSON object a line on stdout, everything else on stderr')
    .option('--debug', 'with every error, say where in the program it arose')
    .addHelpText(
      'after',
      ['', title, ...examples.map((example) => `  sdft ${example}`)].join('\n'),
    );
}

/** As it is typed: `sdft train lora`. */
export function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}

function translated(command: Command, error: CommanderError): Error {
  if (error.exitCode === 0) return new Shown();
  const said = error.message.replace(/^error: /, '').replace(/\.$/, '');
  const help = `See ${fullName(command)} --help`;
  if (error.code !== 'commander.unknownOption') return new UsageError(`${said}. ${help}`);
  const flag = /'(.*)'/s.exec(said)?.[1] ?? said;
  return new UsageError(`there is no flag ${flag}. ${help}`, {
    name: flag,
    known: command.options
      .flatMap(({ long, short }) => [long, short])
      .filter((name) => name != null),
  });
}
