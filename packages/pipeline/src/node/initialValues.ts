import { readFloat32, viewWeight } from '@sdft/models';
import {
  draws,
  hostArray,
  type HostArray,
  type StateValue,
  UserError,
  type Weight,
} from '@sdft/tensor';
import type { InitContext, Initial, LoadedState } from '../contracts.ts';
import type { Composition, ResolvedRecipe } from '../recipe/composition.ts';
import { statesFrom } from '../run/moments.ts';
import type { Base } from '../training/base.ts';
import { adapterNames, type Attached, type Trainable } from '../training/trainables.ts';
import { under, withName } from './paths.ts';
import { trainableFile } from './trainableFile.ts';

/**
 * First values of every trainable, from the adapters or from `initFrom`. Those of files and of the base, which may be gigabytes, are read when they are asked for.
 *
 * @throws UserError where they cannot be had or do not fit
 */
export async function initialValues(
  { recipe, adapters }: Composition,
  base: Base,
  attached: Attached,
  relativeTo: string,
): Promise<Map<string, StateValue>> {
  const names = adapterNames(adapters);
  const loaded = new Map<number, LoadedState>();
  if (recipe.initFrom !== undefined)
    for (const [i, adapter] of adapters.entries()) {
      const own = attached.trainables.filter((trainable) => trainable.adapter === i);
      const path = under(relativeTo, recipe.initFrom);
      loaded.set(
        i,
        await (adapter.files ?? trainableFile).load(
          adapters.length === 1 ? path : withName(path, names[i]!),
          shapesOf(own),
        ),
      );
    }
  const values = new Map<string, StateValue>();
  for (const trainable of attached.trainables) {
    const { name, adapter, key, parameter, initial } = trainable;
    const own = (): HostArray => initial.values(initContext(base, recipe, name));
    const given =
      loaded.get(adapter)?.get(key)?.[parameter] ?? (initial.copies === undefined ? own() : own);
    if (initial.copies !== undefined && given === own)
      checkFirst(name, initial, weightAt(base, initial.copies).shape);
    values.set(
      name,
      typeof given === 'function'
        ? () => first(name, initial, given())
        : first(name, initial, given),
    );
  }
  return values;
}

/** Throws UserError where values are not what was announced. */
function first(name: string, initial: Initial, value: HostArray): HostArray {
  checkFirst(name, initial, value.shape, value.dtype);
  return value;
}

function checkFirst(
  name: string,
  initial: Initial,
  shape: readonly number[],
  dtype = 'float32',
): void {
  if (dtype !== 'float32' || String(shape) !== String(initial.shape))
    throw new UserError(
      `${name}: its first values are ${dtype} [${shape.join(', ')}], float32 [${initial.shape.join(', ')}] was announced`,
    );
}

/**
 * Where a run goes on that starts from a file with an optimizer's state beside it; undefined where there is none.
 *
 * @throws UserError where that state is none of this run's, or all steps are done
 */
export async function earlierSteps(
  { recipe, adapters, optimizer }: Composition,
  { trainables }: Attached,
  relativeTo: string,
): Promise<{ readonly step: number; readonly states: ReadonlyMap<string, HostArray> } | undefined> {
  const [adapter, ...others] = adapters;
  if (recipe.initFrom === undefined || !adapter?.files?.moments || others.length > 0)
    return undefined;
  const path = under(relativeTo, recipe.initFrom);
  const moments = await adapter.files.moments(path, shapesOf(trainables));
  if (!moments) return undefined;
  const states = statesFrom(moments, optimizer, trainables);
  if (!states)
    throw new UserError(
      `initFrom ${path}: AdamW's state lies beside it, and this run has the optimizer ${optimizer.recipe.name}; take adamw, or leave that state aside`,
    );
  if (recipe.steps !== undefined && recipe.steps <= moments.step)
    throw new UserError(
      `initFrom ${path}: was trained for ${moments.step} steps already, and steps: ${recipe.steps} counts those; say more steps`,
    );
  return { step: moments.step, states };
}

/** Shapes of an adapter's trainables, as its files are read by. */
export function shapesOf(
  trainables: readonly Trainable[],
): ReadonlyMap<string, Readonly<Record<string, readonly number[]>>> {
  const shapes = new Map<string, Record<string, readonly number[]>>();
  for (const { key, parameter, initial } of trainables)
    shapes.set(key, { ...shapes.get(key), [parameter]: initial.shape });
  return shapes;
}

function initContext(base: Base, recipe: ResolvedRecipe, trainable: string): InitContext {
  const random = draws(recipe.seed);
  return {
    flavour: recipe.flavour,
    weight: (path, rows) => readRows(base, path, rows),
    tokenize: (text) => base.tokenizer.encode(text).ids.slice(1, -1),
    pieces: (text) => base.tokenizer.encode(text).pieces.slice(1, -1),
    draw: {
      normal: (name, shape) => random.normal(`init ${trainable} ${name}`, 0, shape) as HostArray,
      uniform: (name, shape) => random.uniform(`init ${trainable} ${name}`, 0, shape) as HostArray,
    },
  };
}

function weightAt({ weights, name }: Base, path: string): Weight {
  const weight = weights.get(path);
  if (!weight) throw new UserError(`${name} has no tensor ${path}`);
  return weight;
}

function readRows(base: Base, path: string, rows?: readonly number[]): HostArray {
  const weight = weightAt(base, path);
  if (!rows) return hostArray(readFloat32(weight), weight.shape) as HostArray;
  const rest = weight.shape.slice(1);
  const one = rest.reduce((n, d) => n * d, 1);
  const data = new Float32Array(rows.length * one);
  rows.forEach((row, i) => {
    if (row < 0 || row >= weight.shape[0]!)
      throw new UserError(`${path} has ${weight.shape[0]} rows, no row ${row}`);
    data.set(readFloat32(viewWeight(weight, rest, row * one)), i * one);
  });
  return hostArray(data, [rows.length, ...rest]) as HostArray;
}
