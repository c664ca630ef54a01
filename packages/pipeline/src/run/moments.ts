/** @file Adam's running means among the states of a run, for files that hold them. */
import type { Optimizer } from '@sdft/optim';
import { hostArray, type HostArray } from '@sdft/tensor';
import type { AdapterState, Moments, Parameters } from '../contracts.ts';
import type { Trainable } from '../training/trainables.ts';
import { optimizerState } from '../training/update.ts';

/** One state that holds a moment. */
interface Place {
  readonly state: string;
  readonly moment: 'mean' | 'square';
  readonly trainable: Trainable;
}

/** Where the moments of these trainables are; undefined where the optimizer is not AdamW, or does not know one of them. */
function placesOf(
  optimizer: Optimizer,
  trainables: readonly Trainable[],
): readonly Place[] | undefined {
  if (optimizer.recipe.name !== 'adamw') return undefined;
  const shapes = Object.fromEntries(trainables.map(({ name, initial }) => [name, initial.shape]));
  const known = Object.keys(optimizer.init(shapes));
  const places = trainables.flatMap((trainable) =>
    (['mean', 'square'] as const).flatMap((moment): Place[] => {
      // Behind transforms such as clipping, the optimizer's states have its name before theirs.
      const own = `${moment === 'mean' ? 'm' : 'v'}.${trainable.name}`;
      const state = known.find((name) => name === own || name.endsWith(`.${own}`));
      return state === undefined ? [] : [{ state: optimizerState(state), moment, trainable }];
    }),
  );
  return places.length === 2 * trainables.length ? places : undefined;
}

/** The states of a run that goes on from these moments; undefined where its optimizer has no place for them. */
export function statesFrom(
  moments: Moments,
  optimizer: Optimizer,
  trainables: readonly Trainable[],
): ReadonlyMap<string, HostArray> | undefined {
  const places = placesOf(optimizer, trainables);
  return (
    places &&
    new Map(
      places.map(({ state, moment, trainable: { key, parameter } }) => [
        state,
        moments[moment].get(key)![parameter]!,
      ]),
    )
  );
}

/** The moments among the states of a run, zeros for a trainable that no gradient reaches; undefined where the optimizer has none. */
export function momentsAmong(
  states: ReadonlyMap<string, HostArray>,
  step: number,
  optimizer: Optimizer,
  trainables: readonly Trainable[],
): Moments | undefined {
  const places = placesOf(optimizer, trainables);
  if (!places) return undefined;
  const of = (wanted: Place['moment']): AdapterState => {
    const found = new Map<string, Parameters<HostArray>>();
    for (const { state, moment, trainable } of places)
      if (moment === wanted) {
        const { key, parameter, initial } = trainable;
        const value = states.get(state) ?? zerosOf(initial.shape);
        found.set(key, { ...found.get(key), [parameter]: value });
      }
    return found;
  };
  return { step, mean: of('mean'), square: of('square') };
}

const zerosOf = (shape: readonly number[]): HostArray =>
  hostArray(new Float32Array(shape.reduce((n, d) => n * d, 1)), shape) as HostArray;
