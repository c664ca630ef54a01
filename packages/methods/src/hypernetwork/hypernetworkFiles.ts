import { Float, OrderedDict, type PythonValue, readFloat32, Tuple, weightOf } from '@sdft/models';
import { writeSafetensors, writeTorch } from '@sdft/models/node';
import type { AboutFile, AdapterFiles, AdapterState, Parameters } from '@sdft/pipeline';
import { hostArray, type HostArray, UserError, type Weight } from '@sdft/tensor';
import { stemOf } from '../files/stemOf.ts';
import type { Modules } from './adapter.ts';
import { entriesOf } from './entries.ts';
import { readOptimizerFile, writeOptimizerFile } from './optimizerFile.ts';
import { type Hypernetwork, readHypernetwork } from './readHypernetwork.ts';
import { partsOf, type Structure } from './structure.ts';

/** How a run treats its files. */
export interface FileSettings {
  readonly modules: Modules;
  /** Whether all widths of the base are trained: then what a file has for others is left aside, as it never does anything there. */
  readonly everywhere: boolean;
  /** Write AdamW's state beside a `.pt`, and go on from one that lies there. */
  readonly optimizerState?: boolean | undefined;
}

/**
 * Files of a hypernetwork: `.pt` is A1111's layout, `.safetensors` holds tensors `WIDTH.0.linear.0.weight` (0: keys, 1: values) or `LAYER.linear.0.weight`, and A1111's
 * entries as JSON in the metadata. Modules of single layers have no place in A1111's layout.
 */
export function hypernetworkFiles(
  structure: Structure,
  { modules, everywhere, optimizerState = false }: FileSettings,
): AdapterFiles {
  return {
    endings: modules === 'width' ? ['.pt', '.safetensors'] : ['.safetensors'],
    async save(state, path, about) {
      const entries = entriesOf(structure, {
        step: about.step,
        name: stemOf(path),
        base: stemOf(about.base),
      });
      if (/\.pt$/i.test(path) && modules === 'width') {
        const pairs = pairsOf(state);
        await writeTorch(path, new Map<PythonValue, PythonValue>([...pairs, ...entries]), about);
        if (optimizerState) await writeOptimizerFile(path, placesOf(state), about);
        return;
      }
      if (/\.safetensors$/i.test(path)) return writePlain(state, entries, path, about);
      throw new UserError(
        `${path}: a hypernetwork is written as ${modules === 'width' ? ".pt (A1111's layout) or .safetensors" : '.safetensors, as A1111 has no place for modules of single layers'}`,
      );
    },
    async load(path, shapes) {
      const found = await readHypernetwork(path);
      checkFits(found, structure, modules, path);
      checkKeys(found, [...shapes.keys()], everywhere, path);
      return valuesOf(found, shapes.keys());
    },
    async moments(path) {
      return optimizerState ? readOptimizerFile(path, await readHypernetwork(path)) : undefined;
    },
  };
}

/** The values of these modules. */
export const valuesOf = ({ parameters }: Hypernetwork, keys: Iterable<string>): AdapterState =>
  new Map(
    [...keys].map((key) => [
      key,
      Object.fromEntries(
        Object.entries(parameters.get(key)!).map(([name, weight]) => [
          name,
          hostArray(Float32Array.from(readFloat32(weight)), weight.shape) as HostArray,
        ]),
      ),
    ]),
  );

const weightIn = ({ data, shape }: HostArray): Weight =>
  weightOf('f32', shape, new Uint8Array(Float32Array.from(data).buffer));

/** Width to the state dicts of its two modules, the smallest width first. */
function pairsOf(state: AdapterState): [number, PythonValue][] {
  const dict = (parameters: Parameters<HostArray>): OrderedDict =>
    new OrderedDict(Object.entries(parameters).map(([name, value]) => [name, weightIn(value)]));
  return widthsOf(state.keys()).map((width) => [
    width,
    Tuple.of(dict(state.get(`${width}.0`)!), dict(state.get(`${width}.1`)!)),
  ]);
}

/** Every parameter, in the order of `pairsOf`. */
const placesOf = (state: AdapterState) =>
  widthsOf(state.keys())
    .flatMap((width) => [`${width}.0`, `${width}.1`])
    .flatMap((key) => Object.keys(state.get(key)!).map((name) => ({ key, name })));

/** The widths among the keys `768.0`, ascending. */
export const widthsOf = (keys: Iterable<string>): number[] =>
  [...new Set([...keys].map((key) => Number(key.split('.')[0])))].sort((a, b) => a - b);

async function writePlain(
  state: AdapterState,
  entries: readonly (readonly [string, PythonValue])[],
  path: string,
  { force }: AboutFile,
): Promise<void> {
  const tensors = new Map(
    [...state].flatMap(([key, parameters]) =>
      Object.entries(parameters).map(([name, value]) => [`${key}.${name}`, weightIn(value)]),
    ),
  );
  const plain = JSON.stringify(Object.fromEntries(entries), (_, value: unknown) =>
    value instanceof Float ? value.value : value,
  );
  await writeSafetensors(path, tensors, { metadata: { hypernetwork: plain }, force });
}

/** Throws UserError where a file is of another hypernetwork than the run trains. */
function checkFits(
  found: Hypernetwork,
  structure: Structure,
  modules: Modules,
  path: string,
): void {
  if (found.modules !== modules)
    throw new UserError(
      `${path}: has modules for each ${found.modules}, this run for each ${modules}; say modules: ${found.modules}`,
    );
  const differing = differences(found.structure, structure);
  if (differing.length > 0)
    throw new UserError(
      `${path}: its modules are built in another way; to go on with it say ${differing.join(', ')}`,
    );
}

/** Throws UserError where a file has other modules than the run trains. */
function checkKeys(
  { parameters, modules }: Hypernetwork,
  keys: readonly string[],
  everywhere: boolean,
  path: string,
): void {
  const missing = keys.filter((key) => !parameters.has(key));
  const unknown = everywhere ? [] : [...parameters.keys()].filter((key) => !keys.includes(key));
  if (missing.length === 0 && unknown.length === 0) return;
  const [theirs, ours] =
    modules === 'width'
      ? [parameters.keys(), keys].map((some) => `of width ${widthsOf(some).join(', ')}`)
      : [`of ${parameters.size} layers`, `of ${keys.length} layers, ${missing[0]} among them`];
  throw new UserError(
    `${path}: has modules for contexts ${theirs}, this run for contexts ${ours}; say which to train with sizes, or take the base that it was trained on`,
  );
}

/** The settings that would make a structure like that of a file. */
function differences(theirs: Structure, ours: Structure): string[] {
  const shape = (structure: Structure) =>
    JSON.stringify(partsOf(structure, 1000).map((part) => ({ ...part, p: undefined })));
  if (shape(theirs) === shape(ours)) return [];
  const settings = [
    'layerStructure',
    'activation',
    'layerNorm',
    'activateOutput',
    'dropoutStructure',
  ] as const;
  return settings
    .filter((name) => String(theirs[name]) !== String(ours[name]))
    .map((name) =>
      Array.isArray(theirs[name])
        ? `${name}: "${theirs[name].join(', ')}"`
        : `${name}: ${String(theirs[name])}`,
    );
}
