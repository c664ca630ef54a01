/** @file Settings as flags of a command line. */
import { z } from 'zod';
import { recipeSchema } from './parse.ts';
import type { Preset } from './preset.ts';

/** One setting that has a flag. */
export interface RecipeFlag {
  /** With what it takes: `--lr <rate>`; without for a switch: `--recompute`. */
  readonly flag: string;
  /** Where it stands in the recipe: `['optimizer', 'lr']`. */
  readonly path: readonly string[];
  readonly description: string;
  /** The texts that it can be, where they are few. */
  readonly choices?: readonly string[];
  /** It may be given several times. */
  readonly list: boolean;
  /** A value as typed, as the recipe holds it: a number where the setting can be one. Whether it is in range, `parseRecipe` says. */
  value(text: string): unknown;
}

/**
 * The flags of a preset's command: its own, then the common ones, in the order of the schema. Where a preset has a setting of its own behind a common flag, it is the
 * preset's.
 */
export function recipeFlags(preset?: Preset): RecipeFlag[] {
  const own = preset ? Object.keys(preset.schema.shape) : [];
  const all = flagsIn(recipeSchema(preset), []);
  const first = all.filter(({ path }) => own.includes(path[0]!));
  const taken = new Set(first.map(({ flag }) => dashed(flag)));
  return [
    ...first,
    ...all.filter(({ path, flag }) => !own.includes(path[0]!) && !taken.has(dashed(flag))),
  ];
}

/** A flag without what it takes. */
const dashed = (flag: string): string => flag.split(' ')[0]!;

function flagsIn(schema: z.ZodType, path: readonly string[]): RecipeFlag[] {
  const { description = '', flag } = metaOf(schema);
  const inner = unwrapped(schema);
  if (inner instanceof z.ZodObject)
    return Object.entries(inner.shape).flatMap(([key, value]) =>
      flagsIn(value as z.ZodType, [...path, key]),
    );
  if (flag === undefined) return [];
  const list = inner instanceof z.ZodArray;
  const leaf = list ? (inner.element as z.ZodType) : inner;
  return [
    {
      flag,
      path,
      description,
      list,
      ...(leaf instanceof z.ZodEnum && { choices: leaf.options.map(String) }),
      value: (text) => typed(leaf, text),
    },
  ];
}

const unwrapped = (schema: z.ZodType): z.ZodType =>
  schema instanceof z.ZodOptional ? unwrapped(schema.unwrap() as z.ZodType) : schema;

/** What `meta` says of a setting, whether it was said before or after `optional`. */
function metaOf(schema: z.ZodType): { description?: string; flag?: string } {
  const own = schema.meta() as { description?: string; flag?: string } | undefined;
  if (own) return own;
  return schema instanceof z.ZodOptional ? metaOf(schema.unwrap() as z.ZodType) : {};
}

function typed(schema: z.ZodType, text: string): unknown {
  const number = text.trim() === '' ? Number.NaN : Number(text);
  const candidates = [...(Number.isNaN(number) ? [] : [number]), text];
  const accepted = candidates.find((candidate) => schema.safeParse(candidate).success);
  if (accepted !== undefined) return accepted;
  // Out of range, but said as a number: the message shall name it as one.
  return isNumeric(schema) && !Number.isNaN(number) ? number : text;
}

const isNumeric = (schema: z.ZodType): boolean =>
  schema instanceof z.ZodNumber ||
  (schema instanceof z.ZodUnion && schema.options.some((option) => isNumeric(option as z.ZodType)));
