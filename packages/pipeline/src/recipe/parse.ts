/** @file From text or an object to a recipe, or to everything that is wrong with it. */
import { imagesProblems } from '@sdft/data';
import { nearest, UserError } from '@sdft/tensor';
import { parse as parseYaml, YAMLParseError } from 'yaml';
import { z } from 'zod';
import { type Preset, type Registry, variantOf } from './preset.ts';
import { Problems } from './problems.ts';
import { commonSchema, type Recipe } from './schema.ts';

/** The schema of recipes of one preset, or of those without. */
export const recipeSchema = (preset?: Preset): z.ZodObject =>
  preset ? commonSchema.extend(preset.schema.shape) : commonSchema;

/**
 * Reads a recipe: YAML, or an object that one could hold.
 *
 * @param where the file, for messages
 * @throws UserError with every problem at once: unknown keys with the nearest known one, wrong types, settings out of range
 */
export function parseRecipe(input: unknown, registry: Registry, where = 'recipe'): Recipe {
  const value = typeof input === 'string' ? fromYaml(input, where) : input;
  const problems = new Problems();
  const recipe = checkRecipe(value, registry, problems);
  problems.throw(where);
  return recipe!;
}

/**
 * The same for an object, with its problems added to a list.
 *
 * @param given whether adapters and objective are at hand and need no names that the registry knows
 */
export function checkRecipe(
  value: unknown,
  registry: Registry,
  problems: Problems,
  given = false,
): Recipe | undefined {
  if (!isRecord(value)) {
    problems.add('a recipe holds settings by name, such as base: nano');
    return undefined;
  }
  const { method } = value;
  const known =
    typeof method === 'string' ? named('method', method, registry.presets, problems) : undefined;
  const preset = known && variantOf(known, value);
  // Without its preset nobody knows which settings a method has.
  const schema = method === undefined || preset ? recipeSchema(preset) : commonSchema.loose();
  const recipe = checked(schema, value, [], problems) as Recipe | undefined;
  if (!recipe) return undefined;
  if (recipe.data) problems.add(...imagesProblems(recipe.data));
  if (recipe.validation) {
    const { every: _, draws: __, ...pictures } = recipe.validation;
    problems.add(...imagesProblems(pictures, 'validation'));
  }
  if (recipe.promptSyntax === 'a1111' && recipe.longPrompts === 'truncate')
    problems.add(
      'longPrompts truncate: prompts read as A1111 reads them are never cut; leave it out',
    );
  if (preset) checkPreset(preset, recipe, problems);
  if (!given) checkParts(recipe, registry, problems);
  return recipe;
}

function checkPreset(preset: Preset, recipe: Recipe, problems: Problems): void {
  if (recipe.flavour && !preset.flavours.includes(recipe.flavour))
    problems.add(
      `flavour ${recipe.flavour}: ${preset.name} has the flavours ${preset.flavours.join(', ')}`,
    );
  problems.add(...(preset.problems?.(settingsOf(recipe, preset), recipe) ?? []));
}

function checkParts(recipe: Recipe, registry: Registry, problems: Problems): void {
  const { method, adapters, objective } = recipe;
  if (method !== undefined && adapters)
    problems.add('a recipe has a method, or adapters with an objective, not both');
  adapters?.forEach(({ name, ...settings }, i) => {
    const preset = named('adapter', name, registry.presets, problems);
    if (preset)
      checked(variantOf(preset, settings).schema.strict(), settings, ['adapters', i], problems);
  });
  if (adapters && !objective)
    problems.add('there is no objective: say objective: { name: denoise }');
  if (!objective) return;
  const { name, ...settings } = objective;
  const known = named('objective', name, registry.objectives, problems);
  if (known) checked(known.schema.strict(), settings, ['objective'], problems);
}

/** The value as a schema has it; undefined where it does not fit. */
function checked(
  schema: z.ZodType,
  value: unknown,
  at: readonly PropertyKey[],
  problems: Problems,
): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  for (const issue of result.error.issues) problems.add(...explain(issue, schema, value, at));
  return undefined;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The method's own settings in a recipe. */
export function settingsOf(recipe: Recipe, preset: Preset): Record<string, unknown> {
  return Object.fromEntries(
    Object.keys(preset.schema.shape).flatMap((key) =>
      recipe[key] === undefined ? [] : [[key, recipe[key]] as const],
    ),
  );
}

function named<T>(
  kind: string,
  name: string,
  known: Readonly<Record<string, T>>,
  problems: Problems,
): T | undefined {
  if (Object.hasOwn(known, name)) return known[name];
  const close = nearest(name, Object.keys(known));
  problems.add(
    `there is no ${kind} called "${name}"${close === undefined ? '' : `; did you mean ${close}?`}`,
  );
  return undefined;
}

/**
 * What a recipe file says, not yet checked. Templates need no quotes: in `{ template: a drawing of {} }` a strict reader of YAML would stop at the inner braces.
 *
 * @param where the file, for messages
 * @throws UserError where it is not YAML
 */
export function fromYaml(text: string, where: string): unknown {
  try {
    return parseYaml(text) as unknown;
  } catch (error) {
    // Names that stand for nothing, or for more than memory holds, and lists within lists without end.
    if (error instanceof ReferenceError || error instanceof RangeError)
      throw new UserError(`${where}: cannot be read as YAML: ${error.message}`);
    if (!(error instanceof YAMLParseError)) throw error;
    const quoted = quoteTemplates(text);
    if (quoted !== text) {
      const value = valueOf(quoted);
      if (value !== undefined) return value;
    }
    const line = error.linePos?.[0]?.line;
    throw new UserError(
      `${where}${line === undefined ? '' : `, line ${line}`}: is not YAML: ${error.message.split('\n')[0]!.replace(/ at line.*$|; please use.*$/, '')}`,
    );
  }
}

function valueOf(yaml: string): unknown {
  try {
    return parseYaml(yaml) as unknown;
  } catch {
    return undefined;
  }
}

/** The text with quotes around plain values that hold `{}` or `{caption}`. */
const quoteTemplates = (text: string): string =>
  text.replace(
    /(:[ \t]+)([^\s"'{}[\],#&*!|>%@`][^"'{}[\],\n]*(?:\{(?:caption)?\}[^"'{}[\],\n]*)+)/g,
    (_, before: string, value: string) =>
      `${before}'${value.trimEnd()}'${value.slice(value.trimEnd().length)}`,
  );

/** An issue in words that name the setting and its value. */
function explain(
  issue: z.core.$ZodIssue,
  schema: z.ZodType,
  value: unknown,
  at: readonly PropertyKey[],
): string[] {
  const path = [...at, ...issue.path];
  const name = path.join('.');
  const found = valueAt(value, issue.path);
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, issue.path);
    return issue.keys.map((key) => {
      const near = nearest(key, known);
      const place = placeOf(schema, key);
      const meant = place ? [...at, ...place] : near === undefined ? undefined : [...path, near];
      return `there is no setting ${[...path, key].join('.')}${meant === undefined ? '' : `; did you mean ${meant.join('.')}?`}`;
    });
  }
  if (issue.code === 'custom') return [`${name} ${shown(found)}: ${issue.message}`];
  if (found === undefined) return [`${name} is missing: ${expectation(issue)}`];
  return [`${name} must be ${expectation(issue)}, not ${shown(found)}`];
}

/** JSON would make null of what is no finite number. */
const shown = (value: unknown): string =>
  typeof value === 'number' ? String(value) : JSON.stringify(value);

function expectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.expected === 'string'
        ? 'text'
        : issue.expected === 'int'
          ? 'a whole number'
          : issue.expected === 'boolean'
            ? 'true or false'
            : issue.expected === 'object'
              ? 'settings by name'
              : issue.expected === 'array'
                ? 'a list'
                : `a ${issue.expected}`;
    case 'too_small':
      return issue.origin === 'string' || issue.origin === 'array'
        ? 'not empty'
        : `${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`;
    case 'too_big':
      return `${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
    case 'invalid_value':
      return `one of ${issue.values.join(', ')}`;
    case 'invalid_format':
      return issue.format === 'template_literal' ? 'WIDTHxHEIGHT' : issue.message;
    case 'invalid_union':
      return [...new Set(issue.errors.flat().map(expectation))].join(' or ');
    default:
      return issue.message.replace(/^must be /, '');
  }
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
    value,
  );
}

/** The settings that the object at a path of a schema has. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const at = path.reduce<z.ZodType | undefined>(
    (inner, key) => objectIn(inner)?.shape[String(key)] as z.ZodType | undefined,
    schema,
  );
  return Object.keys(objectIn(at)?.shape ?? {});
}

/** Where else a setting of this name stands: optimizer.lr for lr. */
function placeOf(schema: z.ZodType, key: string): string[] | undefined {
  const shape = objectIn(schema)?.shape ?? {};
  if (Object.hasOwn(shape, key)) return [key];
  for (const [outer, inner] of Object.entries(shape)) {
    const place = placeOf(inner as z.ZodType, key);
    if (place) return [outer, ...place];
  }
  return undefined;
}

/** The object inside a schema that may be optional. */
export function objectIn(schema: z.ZodType | undefined): z.ZodObject | undefined {
  if (schema instanceof z.ZodOptional) return objectIn(schema.unwrap() as z.ZodType);
  return schema instanceof z.ZodObject ? schema : undefined;
}
