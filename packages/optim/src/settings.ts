/** @file What an optimizer's settings are, as plain data: recipes, flags and error messages are made from it. */
import { UserError } from '@sdft/tensor';

/** A number; bounds are part of the range, unless they are `above` or `below`. */
export interface NumberSetting {
  readonly kind: 'number';
  /** One line for people, without the default. */
  readonly description: string;
  /** Undefined: it has none. */
  readonly default?: number | undefined;
  readonly least?: number;
  readonly above?: number;
  readonly below?: number;
  /** Only whole numbers. */
  readonly whole?: true;
}

/** On or off. */
export interface SwitchSetting {
  readonly kind: 'switch';
  readonly description: string;
  readonly default: boolean;
}

export type Setting = NumberSetting | SwitchSetting;
/** By name; the learning rate is not among them. */
export type Settings = Readonly<Record<string, Setting>>;

/** The values of settings, defaults filled in. */
type Filled<S extends Settings> = {
  readonly [K in keyof S]: S[K] extends { readonly default: infer D }
    ? D extends boolean
      ? boolean
      : D
    : number | undefined;
};

/** The value of a setting whose default is a number. */
export const number = <const S extends Omit<NumberSetting, 'kind' | 'default'>>(
  value: number,
  setting: S,
): S & { readonly kind: 'number'; readonly default: number } => ({
  kind: 'number',
  default: value,
  ...setting,
});

/** A share in [0, 1). */
export const decay = (value: number, description: string) =>
  number(value, { description, least: 0, below: 1 });

/**
 * Settings with their defaults.
 *
 * @param name of the optimizer, for messages
 * @param options what was given; `lr` is left to the caller
 * @throws UserError for one that there is not, and for values of another type or out of range
 */
export function settled<const S extends Settings>(
  name: string,
  settings: S,
  options: object,
): Filled<S> {
  const given = options as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(given).find(
    (key) => key !== 'lr' && given[key] !== undefined && !Object.hasOwn(settings, key),
  );
  if (unknown !== undefined)
    throw new UserError(
      `${name}: there is no setting ${unknown}; it has ${['lr', ...Object.keys(settings)].join(', ')}`,
    );
  return Object.fromEntries(
    Object.entries(settings).map(([key, setting]) => {
      const value = given[key] ?? setting.default;
      const problem = value === undefined ? undefined : problemOf(setting, value);
      if (problem !== undefined)
        throw new UserError(`${name}: ${key} must ${problem}, got ${String(value)}`);
      return [key, value];
    }),
  ) as Filled<S>;
}

/** What a value must be, where it is not. */
function problemOf(setting: Setting, value: unknown): string | undefined {
  if (setting.kind === 'switch') return typeof value === 'boolean' ? undefined : 'be true or false';
  const { least = -Infinity, above = -Infinity, below = Infinity } = setting;
  const fits = typeof value === 'number' && value >= least && value > above && value < below;
  if (fits && (!setting.whole || Number.isInteger(value))) return undefined;
  const kind = setting.whole ? 'be a whole number, ' : '';
  if (setting.least !== undefined && setting.below !== undefined)
    return `lie in [${least}, ${below})`;
  if (setting.least !== undefined) return `${kind || 'be '}at least ${least}`;
  if (setting.above !== undefined) return `${kind || 'be '}more than ${above}`;
  if (setting.below !== undefined) return `be less than ${below}`;
  return 'be a number';
}
