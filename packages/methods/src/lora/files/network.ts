/** @file What a file of the LoRA family holds, whatever its layout. */
import type { Shape, Weight } from '@sdft/tensor';
import { type AlgorithmName, algorithms } from '../algorithms/algorithms.ts';
import type { Change } from '../change.ts';

/** The tensors of one layer, by kohya's and LyCORIS' names without `.weight`. */
export type LayerTensors = Readonly<Record<string, Weight>>;

/** What is learned at one layer. */
export interface LearnedLayer extends Pick<Change, 'algorithm' | 'scale' | 'onInput' | 'withBias'> {
  readonly tensors: LayerTensors;
}

/** A file of the LoRA family. */
export interface Network {
  readonly layout: 'kohya' | 'peft';
  /** By layer path. */
  readonly layers: ReadonlyMap<string, LearnedLayer>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Shapes of tensors. */
export const shapesIn = (tensors: LayerTensors): Record<string, Shape> =>
  Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, shape]));

/** Whether an algorithm adds to a weight. */
export const isAlgorithm = (name: Change['algorithm']): name is AlgorithmName =>
  Object.hasOwn(algorithms, name);

/** The rank of what is learned at a layer; undefined where it has none. */
export const rankOf = ({ algorithm, tensors }: Pick<LearnedLayer, 'algorithm' | 'tensors'>) =>
  isAlgorithm(algorithm) ? algorithms[algorithm].rank(shapesIn(tensors)) : undefined;
