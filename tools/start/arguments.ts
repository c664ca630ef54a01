/** @file What `npm start` can be told. */
import { parseArgs } from 'node:util';

export const usage = `npm start [-- FLAG...]   fine-tunes the base model nano by five methods on 25 pictures, and lays the results side by side

  --quick   a short one, with fewer steps and prompts, into out/quick: a look at how it goes, not at what the methods can do
  --open    open the report when it is there
  --help    this text

Ctrl-C saves what was learned so far; the same command goes on there. What is finished already is not done again.`;

export interface Arguments {
  readonly quick: boolean;
  readonly open: boolean;
  readonly help: boolean;
}

/** A flag that there is not. */
export class UnknownArgument extends Error {}

/** Reads a command line. Throws UnknownArgument, saying what there is, where it holds anything else. */
export function readArguments(args: readonly string[]): Arguments {
  const flag = { type: 'boolean', default: false } as const;
  try {
    const { quick, open, help } = parseArgs({
      args: [...args],
      options: { quick: flag, open: flag, help: { ...flag, short: 'h' } },
    }).values;
    return { quick, open, help };
  } catch {
    throw new UnknownArgument(
      `there are --quick, --open and --help, each behind a "--" of its own (npm start -- --quick); not ${args.join(' ')}`,
    );
  }
}
