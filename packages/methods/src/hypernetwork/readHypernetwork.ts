/** @file Hypernetwork files, read: A1111's `.pt` of all years, kohya's, and safetensors. Nothing in a file is executed. */
import { findNonFinite, isWeight, type PythonValue } from '@sdft/models';
import { openSafetensors, openTorch } from '@sdft/models/node';
import type { Parameters } from '@sdft/pipeline';
import { UserError, type Weight } from '@sdft/tensor';
import type { Modules } from './adapter.ts';
import { descriptionIn, type Entries, structureIn } from './entries.ts';
import { moduleShapes, partsOf, type Structure, structureText } from './structure.ts';

/** What a file of a hypernetwork holds. */
export interface Hypernetwork {
  readonly structure: Structure;
  readonly modules: Modules;
  /** Parameters of each module by its key: `768.0` (keys) and `768.1` (values), or the path of its layer. */
  readonly parameters: ReadonlyMap<string, Parameters<Weight>>;
  readonly name: string | undefined;
  /** Steps that it was trained for. */
  readonly step: number;
}

/**
 * Reads a hypernetwork of any layout. What a file of 2022 leaves out is what A1111 takes for it.
 *
 * @throws UserError, naming file and tensor, where it is none, or its modules are not built as it says
 */
export async function readHypernetwork(path: string): Promise<Hypernetwork> {
  const safetensors = /\.(safetensors|sft)$/i.test(path);
  const { entries, parameters } = safetensors ? fromSafetensors(path) : await fromTorch(path);
  const structure = structureIn(entries, path);
  const modules: Modules = [...parameters.keys()].every((key) => /^\d+\.[01]$/.test(key))
    ? 'width'
    : 'layer';
  for (const [key, own] of parameters) {
    const width =
      modules === 'width' ? Number(key.split('.')[0]) : own['linear.0.weight']?.shape[1];
    checkModule(own, structure, width ?? 0, `${path}: ${key}`);
  }
  return { structure, modules, parameters, ...descriptionIn(entries) };
}

interface Found {
  readonly entries: Entries;
  readonly parameters: ReadonlyMap<string, Parameters<Weight>>;
}

const noHypernetwork = (path: string, why: string): UserError =>
  new UserError(`${path}: is no hypernetwork: ${why}`);

/** A1111: `{768: (state dict of the keys' module, of the values'), ..., 'step': 0, ...}`. */
async function fromTorch(path: string): Promise<Found> {
  const { value } = await openTorch(path);
  if (!(value instanceof Map)) throw noHypernetwork(path, 'it holds no settings by name');
  const entries = new Map<string, PythonValue>();
  const parameters = new Map<string, Parameters<Weight>>();
  for (const [key, entry] of value) {
    if (typeof key === 'string') entries.set(key, entry);
    if (typeof key !== 'number') continue;
    // A tuple; kohya's saver writes a list.
    if (!Array.isArray(entry) || entry.length !== 2)
      throw noHypernetwork(path, `entry ${key} is not a pair of modules`);
    entry.forEach((module, i) =>
      parameters.set(`${key}.${i}`, tensorsOf(module, path, `${key}.${i}`)),
    );
  }
  if (parameters.size === 0)
    throw noHypernetwork(path, 'it has no modules under the width of a context, such as 768');
  return { entries, parameters };
}

/** Names that modules of two layers had at first. */
const oldNames: Readonly<Record<string, string>> = { linear1: 'linear.0', linear2: 'linear.1' };

function tensorsOf(module: PythonValue, path: string, key: string): Parameters<Weight> {
  if (!(module instanceof Map)) throw noHypernetwork(path, `module ${key} is not a state dict`);
  const tensors: Record<string, Weight> = {};
  for (const [name, weight] of module) {
    if (typeof name !== 'string' || !isWeight(weight))
      throw noHypernetwork(path, `module ${key} holds something that is no tensor`);
    const [layer = '', ...rest] = name.split('.');
    tensors[Object.hasOwn(oldNames, layer) ? [oldNames[layer], ...rest].join('.') : name] = weight;
  }
  return tensors;
}

function fromSafetensors(path: string): Found {
  const { tensors, metadata } = openSafetensors(path);
  const parameters = new Map<string, Record<string, Weight>>();
  for (const [name, weight] of tensors) {
    const [, key, parameter] = /^(.+)\.(linear\.\d+\.(?:weight|bias))$/.exec(name) ?? [];
    if (key === undefined || parameter === undefined)
      throw noHypernetwork(
        path,
        `it holds a tensor ${name}; those of modules end in linear.0.weight and the like`,
      );
    parameters.set(key, { ...parameters.get(key), [parameter]: weight });
  }
  if (parameters.size === 0) throw noHypernetwork(path, 'it holds no tensors');
  return { entries: entriesIn(metadata['hypernetwork'], path), parameters };
}

function entriesIn(text: string | undefined, path: string): Entries {
  if (text === undefined) return new Map();
  try {
    return new Map(Object.entries(JSON.parse(text) as Record<string, PythonValue>));
  } catch {
    throw noHypernetwork(path, 'what its metadata say of it is no JSON');
  }
}

/** Throws UserError where a module over contexts of this width is not built as the file says. */
function checkModule(
  own: Parameters<Weight>,
  structure: Structure,
  width: number,
  where: string,
): void {
  const shapes = moduleShapes(partsOf(structure, width));
  const said = `what the file says (${structureText(structure)})`;
  for (const [name, shape] of Object.entries(shapes))
    if (String(own[name]?.shape) !== String(shape))
      throw new UserError(
        `${where}: ${name} is ${own[name] ? `[${own[name].shape.join(', ')}]` : 'missing'}; by ${said} it is [${shape.join(', ')}]. The file is damaged, or was changed by hand`,
      );
  const extra = Object.keys(own).find((name) => !Object.hasOwn(shapes, name));
  if (extra !== undefined) throw new UserError(`${where}: ${extra} has no place in ${said}`);
  const [broken] = findNonFinite(Object.entries(own));
  if (broken)
    throw new UserError(
      `${where}: ${broken.name} holds ${broken.count} numbers that are not finite`,
    );
}
