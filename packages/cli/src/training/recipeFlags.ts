import { type Command, Option } from 'commander';
import type { RecipeFlag } from '@sdft/methods';
import { several } from '../options/values.ts';

/** Headings of the help, by the setting that flags belong to; what is not here is the method's own. */
const headings: Readonly<Record<string, string>> = {
  ...under('Base model:', [
    'base',
    'config',
    'predictionType',
    'vae',
    'emaWeights',
    'zeroTerminalSnr',
  ]),
  ...under('Pictures:', ['data', 'latentSampling', 'clipSkip', 'promptSyntax', 'emphasis']),
  ...under('Optimizer:', ['optimizer', 'schedule', 'clip', 'clipMode', 'accumulate', 'ema']),
  ...under('Run:', ['flavour', 'steps', 'batch', 'seed', 'recompute', 'initFrom']),
  ...under('Results:', ['save', 'preview', 'validation']),
};

function under(heading: string, settings: readonly string[]): Record<string, string> {
  return Object.fromEntries(settings.map((setting) => [setting, heading]));
}

/** Declares flags that the schema of a recipe names. */
export function addRecipeFlags(command: Command, flags: readonly RecipeFlag[]): Command {
  for (const { flag, path, description, choices, list } of flags) {
    const option = new Option(flag, description).helpGroup(headings[path[0]!] ?? 'Method:');
    if (list) option.argParser(several);
    else if (choices) option.choices(choices);
    command.addOption(option);
    // A lone `--no-decouple` would make Commander say `decouple: true` wherever it is not given.
    if (option.negate)
      command.addOption(new Option(flag.replace('--no-', '--'), description).hideHelp());
  }
  return command;
}

/** What was typed, as a recipe: each value at its flag's place. */
export function recipeOf(
  options: Readonly<Record<string, unknown>>,
  flags: readonly RecipeFlag[],
): Record<string, unknown> {
  const recipe: Record<string, unknown> = {};
  for (const { flag, path, value } of flags) {
    const typed = options[new Option(flag).attributeName()];
    if (typed === undefined) continue;
    setAt(
      recipe,
      path,
      Array.isArray(typed)
        ? typed.map((text: string) => value(text))
        : typeof typed === 'string'
          ? value(typed)
          : typed,
    );
  }
  return recipe;
}

/** The setting at `path`, as a recipe, where the arguments have its flag: some flags say which others there are. */
export function chosen(
  args: readonly string[],
  flags: readonly RecipeFlag[],
  path: readonly string[] = [],
): Record<string, unknown> {
  const found = flags.find((one) => one.path.join('.') === path.join('.'));
  if (!found) return {};
  const { long } = new Option(found.flag);
  const at = args.findIndex((text) => text === long || text.startsWith(`${long}=`));
  const recipe: Record<string, unknown> = {};
  if (at >= 0)
    setAt(recipe, path, args[at] === long ? args[at + 1] : args[at]!.slice(long!.length + 1));
  return recipe;
}

/** Sets a value inside nested records, which are made on the way. */
export function setAt(
  record: Record<string, unknown>,
  [key = '', ...rest]: readonly string[],
  value: unknown,
): void {
  if (rest.length === 0) {
    record[key] = value;
    return;
  }
  const inner = Object.hasOwn(record, key) ? record[key] : undefined;
  const next = typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? inner : {};
  record[key] = next;
  setAt(next as Record<string, unknown>, rest, value);
}

/** A message about a recipe, with its settings under the names that were typed: `--lr` for `optimizer.lr`. */
export function inFlags(message: string, flags: readonly RecipeFlag[]): string {
  const names = new Map(
    flags.map(({ flag, path }) => [path.join('.'), new Option(flag).long ?? flag]),
  );
  const named = (whole: string, before: string, name: string): string =>
    names.has(name) ? before + names.get(name)! : whole;
  return message
    .replace(/^((?:- )?)([a-zA-Z]+)(?=[ :])/gm, named)
    .replace(/(^|[ ([])([a-zA-Z]+(?:\.[a-zA-Z0-9]+)+)\b/gm, named)
    .replace(/ is missing: text$/gm, ' is missing');
}
