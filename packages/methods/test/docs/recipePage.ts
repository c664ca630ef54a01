/** @file The tables of docs/recipe.md, as the schemas have them. */
import { z } from 'zod';
import { objectives, type Preset, presets, recipeJsonSchema } from '../../src/index.ts';

/** A piece of JSON Schema, as far as recipes use it. */
interface Shape {
  readonly type?: string;
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly anyOf?: readonly Shape[];
  readonly items?: Shape;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly pattern?: string;
  readonly description?: string;
  readonly flag?: string;
}

/** The page with its tables as they have to be: what stands between `<!-- NAME -->` and `<!-- /NAME -->` is made anew. */
export function withTables(page: string): string {
  const parts: Readonly<Record<string, string>> = {
    keys: tableOf(common()),
    methods: Object.values(presets).map(methodSection).join('\n\n'),
    objectives: Object.values(objectives).map(objectiveSection).join('\n\n'),
  };
  return Object.entries(parts).reduce((text, [name, made]) => {
    const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [from, to] = [text.indexOf(start), text.indexOf(end)];
    if (from < 0 || to < from) throw new Error(`the page has no place ${start} ... ${end}`);
    return `${text.slice(0, from)}${start}\n\n${made}\n\n${text.slice(to)}`;
  }, page);
}

/** A recipe of one method, whole. */
const recipeOf = ({ name }: Preset): Shape =>
  (recipeJsonSchema() as Shape).anyOf!.find(
    ({ properties }) => properties!['method']?.const === name,
  )!;
const pick = (shape: Shape, wanted: (key: string) => boolean): Shape => ({
  ...shape,
  properties: Object.fromEntries(Object.entries(shape.properties!).filter(([key]) => wanted(key))),
});

/** What every method has. */
function common(): Shape {
  const names = Object.keys(presets);
  const preset = presets[names[0]!]!;
  const shape = pick(recipeOf(preset), (key) => !(key in preset.schema.shape));
  const method = {
    type: 'string',
    enum: names,
    description: 'what is trained and what is asked of it',
  };
  return {
    ...shape,
    required: shape.required!.filter((key) => key !== 'method'),
    properties: { ...shape.properties, method },
  };
}

function methodSection(preset: Preset): string {
  const own = pick(recipeOf(preset), (key) => key in preset.schema.shape);
  const defaults = preset.flavours.map((flavour, i) => {
    const settings = leaves(preset.defaults(flavour, { base: 'nano' })).map(([key, value]) =>
      code(`${key}: ${value}`),
    );
    const said = settings.length === 0 ? 'as every run' : settings.join(', ');
    return `- flavour \`${flavour}\`${i === 0 ? ' (the default)' : ''}: ${said}`;
  });
  return `### \`${preset.name}\`\n\n${sentence(preset.summary)} Left out, settings are\n\n${defaults.join('\n')}\n\n${tableOf(own)}`;
}

function objectiveSection({ name, summary, schema }: (typeof objectives)[string]): string {
  const shape = z.toJSONSchema(schema, { io: 'input' }) as Shape;
  return `### \`${name}\`\n\n${sentence(summary)}\n\n${tableOf(shape)}`;
}

const sentence = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}.`;

/** The innermost values of nested records, by their paths. */
function leaves(value: object, path = ''): [string, string][] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? leaves(inner, `${path}${key}.`)
      : [[path + key, JSON.stringify(inner)] as [string, string]],
  );
}

const tableOf = (shape: Shape): string =>
  ['| key | flag | value | meaning |', '|---|---|---|---|', ...rowsOf(shape, '')].join('\n');

function rowsOf({ properties = {}, required = [] }: Shape, path: string): string[] {
  return Object.entries(properties).flatMap(([key, inner]) => {
    const name = `${path}${key}`;
    const { description = '', flag = '' } = inner;
    const needed = required.includes(key) ? ' (needed)' : '';
    const cells = [code(name), code(flag), `${valueOf(inner)}${needed}`, description];
    const row = `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
    // A part with a name of its own has the settings of what it names.
    const nested = inner.properties && inner.additionalProperties === false;
    return nested ? [row, ...rowsOf(inner, `${name}.`)] : [row];
  });
}

const code = (text: string): string => (text === '' ? '' : `\`${text}\``);

/** What a setting can be, in words. */
function valueOf(shape: Shape): string {
  if (shape.anyOf) return shape.anyOf.map(valueOf).join(', or ');
  if (shape.enum) return shape.enum.map(code).join(', ');
  switch (shape.type) {
    case 'integer':
      return `whole number${range(shape)}`;
    case 'number':
      return `number${range(shape)}`;
    case 'boolean':
      return '`true`, `false`';
    case 'array':
      return `list: ${listed(shape.items!)}`;
    case 'object':
      if (shape.additionalProperties === false) return 'settings';
      return shape.properties
        ? '`name`, and the settings of what it names'
        : `by name: ${valueOf(shape.additionalProperties as Shape)}`;
    case 'string':
      return shape.pattern === undefined ? 'text' : 'WIDTHxHEIGHT';
    default:
      throw new Error(`no words for ${JSON.stringify(shape)}`);
  }
}

/** What stands in a list, whose settings get no lines of their own. */
const listed = (item: Shape): string =>
  item.properties && item.additionalProperties === false
    ? code(`{ ${Object.keys(item.properties).join(', ')} }`)
    : valueOf(item);

function range(shape: Shape): string {
  const least = shape.minimum === Number.MIN_SAFE_INTEGER ? undefined : shape.minimum;
  const most = shape.maximum === Number.MAX_SAFE_INTEGER ? undefined : shape.maximum;
  return [
    least !== undefined && ` from ${least}`,
    shape.exclusiveMinimum !== undefined && ` above ${shape.exclusiveMinimum}`,
    most !== undefined && ` to ${most}`,
    shape.exclusiveMaximum !== undefined && ` below ${shape.exclusiveMaximum}`,
  ]
    .filter((part) => part !== false)
    .join('');
}
