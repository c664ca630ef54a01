import type { Inspection, TensorLine } from '@sdft/models/node';
import type { Command } from 'commander';
import { complete, type CommonOptions, defineCommand } from '../program/defineCommand.ts';
import { Output } from '../terminal/output.ts';
import { counted } from '../terminal/quantities.ts';

interface InspectOptions extends CommonOptions {
  readonly hash?: boolean;
  readonly tensors?: boolean;
}

/** `sdft inspect`: what a file or folder holds. */
export function inspectCommand(summary: string): Command {
  const command = defineCommand('inspect', summary)
    .argument(
      '<path>',
      'a checkpoint, an embedding, a picture with its settings, any .safetensors, .ckpt, .pt or .bin, or a folder',
    )
    .option('--hash', 'also the sha256 of every tensor and of the file, which reads all of it')
    .option('--tensors', 'list every tensor; --json always does')
    .action(run);
  return complete(
    command,
    'inspect model.safetensors --hash',
    'inspect embedding.pt --tensors',
    'inspect picture.png',
  );
}

async function run(path: string, options: InspectOptions): Promise<void> {
  const output = new Output(options.json ?? false);
  if (/\.png$/i.test(path) && (await inspectPicture(path, output))) return;
  const { inspectFile } = await import('@sdft/models/node');
  const found = await inspectFile(path, { hash: options.hash ?? false });
  output.record(found);
  if (!output.json) output.print(described(found, options.tensors ?? false));
}

/** Says what a picture was drawn by. False where it does not say so. */
async function inspectPicture(path: string, output: Output): Promise<boolean> {
  const { textIn } = await import('../generation/parameters.ts');
  const { parseParameters } = await import('@sdft/models');
  const text = textIn(path);
  if (text === undefined) return false;
  const { prompt, negative, settings } = parseParameters(text);
  output.record({ path, format: 'png', tensors: {}, metadata: { prompt, negative, settings } });
  if (!output.json) output.print(`${path}: a picture, drawn by\n${text}`);
  return true;
}

const MOST_GROUPS = 30;
const MOST_TEXT = 100;

/** For people: a summary, and each tensor or the groups that they form. */
function described(found: Inspection, every: boolean): string {
  const lines = Object.entries(found.tensors);
  const all = every || lines.length <= MOST_GROUPS;
  return [
    `${found.path}: ${found.what}`,
    `  format      ${found.format}`,
    `  tensors     ${totals(lines)}`,
    ...Object.entries(found.hashes ?? {}).map(([name, hash]) => `  ${name.padEnd(10)}  ${hash}`),
    ...section(
      'metadata',
      Object.entries(found.metadata).map(([key, value]) => `${key} = ${short(value)}`),
    ),
    ...section('names in the file (none was called)', found.names ?? []),
    ...section('tensors', all ? lines.map(tensorText) : groups(lines)),
    ...(all ? [] : ['  --tensors lists each of them']),
  ].join('\n');
}

const section = (title: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : [`  ${title}`, ...lines.map((line) => `    ${line}`)];

function tensorText([name, [dtype, shape, sha256]]: [string, TensorLine]): string {
  return `${name}  ${dtype} [${shape.join(', ')}]${sha256 === undefined ? '' : `  ${sha256}`}`;
}

function totals(lines: readonly [string, TensorLine][]): string {
  const types = new Map<string, number>();
  for (const [, [dtype, shape]] of lines)
    types.set(dtype, (types.get(dtype) ?? 0) + numbers(shape));
  const each = [...types].map(([dtype, count]) => `${count.toLocaleString('en')} ${dtype}`);
  return `${lines.length}${each.length > 0 ? `, holding ${each.join(', ')}` : ''}`;
}

/** Tensors by the beginnings of their names, as deep as there is room for. */
function groups(lines: readonly [string, TensorLine][]): string[] {
  let found = grouped(lines, 1);
  for (let depth = 2; ; depth++) {
    const finer = grouped(lines, depth);
    if (finer.size > MOST_GROUPS || finer.size === found.size) break;
    found = finer;
  }
  return [...found].map(
    ([name, { tensors, count }]) =>
      `${name}  ${counted(tensors, 'tensor')}, ${count.toLocaleString('en')} numbers`,
  );
}

function grouped(
  lines: readonly [string, TensorLine][],
  depth: number,
): Map<string, { tensors: number; count: number }> {
  const found = new Map<string, { tensors: number; count: number }>();
  for (const [name, [, shape]] of lines) {
    const parts = name.split('.');
    const key = parts.length > depth ? `${parts.slice(0, depth).join('.')}.*` : name;
    const { tensors, count } = found.get(key) ?? { tensors: 0, count: 0 };
    found.set(key, { tensors: tensors + 1, count: count + numbers(shape) });
  }
  return found;
}

const numbers = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

function short(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return text.length <= MOST_TEXT
    ? text
    : `${text.slice(0, MOST_TEXT)}... (${text.length} characters)`;
}
