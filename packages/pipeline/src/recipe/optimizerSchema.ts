/** @file The optimizer's part of a recipe: the settings of every optimizer, as `@sdft/optim` has them. */
import {
  type NumberSetting,
  type OptimizerSetting,
  optimizers,
  type Setting,
  type SwitchSetting,
} from '@sdft/optim';
import { z } from 'zod';

/** The optimizers that have a setting, with what each of them says of it. */
const holders = new Map<string, { readonly optimizer: string; readonly setting: Setting }[]>();
for (const [optimizer, { settings }] of Object.entries(optimizers))
  for (const [key, setting] of Object.entries(settings))
    holders.set(key, [...(holders.get(key) ?? []), { optimizer, setting }]);

/** Settings by name. Each optimizer checks its own range; here stands what would suit none. */
export const settingSchemas = Object.fromEntries(
  [...holders].map(([key, all]) => [
    key,
    schemaOf(all.map(({ setting }) => setting))
      .meta({ description: descriptionOf(all), flag: flagOf(key, all[0]!.setting) })
      .optional(),
  ]),
) as unknown as { readonly [K in OptimizerSetting]: z.ZodOptional<z.ZodType<number | boolean>> };

function schemaOf(settings: readonly Setting[]): z.ZodType {
  const numbers = settings.filter((setting) => setting.kind === 'number');
  if (numbers.length < settings.length) return z.boolean();
  const bounds = (of: (setting: NumberSetting) => number | undefined): number[] | undefined => {
    const all = numbers.map(of);
    return all.some((bound) => bound === undefined) ? undefined : (all as number[]);
  };
  let schema = numbers.every(({ whole }) => whole) ? z.int() : z.number();
  const lower = bounds(({ least, above }) => least ?? above);
  if (lower)
    schema = bounds(({ above }) => above)
      ? schema.gt(Math.min(...lower))
      : schema.gte(Math.min(...lower));
  const upper = bounds(({ below }) => below);
  return upper ? schema.lt(Math.max(...upper)) : schema;
}

/** `adamw, prodigy: decay of the mean gradient; lion: ...`; without names where all optimizers say the same. */
function descriptionOf(all: readonly { optimizer: string; setting: Setting }[]): string {
  const byText = new Map<string, string[]>();
  for (const { optimizer, setting } of all)
    byText.set(setting.description, [...(byText.get(setting.description) ?? []), optimizer]);
  return [...byText]
    .map(([text, names]) =>
      names.length === Object.keys(optimizers).length ? text : `${names.join(', ')}: ${text}`,
    )
    .join('; ');
}

/** `--weight-decay <x>`; a switch that is on by default has a flag that switches it off. */
function flagOf(key: string, setting: NumberSetting | SwitchSetting): string {
  const name = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  if (setting.kind === 'number') return `--${name} <x>`;
  return setting.default ? `--no-${name}` : `--${name}`;
}
