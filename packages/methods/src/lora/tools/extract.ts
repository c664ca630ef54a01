/** @file A LoRA out of two models: what one learned from the other. */
import { clipTextLayers, findNonFinite, readFloat32, unetLayers } from '@sdft/models';
import type { Layer as LayerInfo } from '@sdft/models';
import type { Base } from '@sdft/pipeline';
import { type Backend, internal, UserError, type Weight } from '@sdft/tensor';
import { isSpatial, kernelOf, matrixOf } from '../algorithms/algorithm.ts';
import type { LearnedLayer } from '../files/network.ts';
import { floats, type Layers } from '../files/writeNetwork.ts';
import { layersAt, targetGlobs } from '../targets.ts';
import { LargestSingular } from './largestSingular.ts';

/** A model, as far as a LoRA concerns it. */
export type TunedModel = Pick<Base, 'name' | 'unet' | 'textEncoder' | 'weights'>;

export interface ExtractOptions {
  /** Rank of linear layers and 1x1 convolutions; no more than a layer's shorter side. */
  readonly rank: number;
  /** Rank of larger convolutions; by default those are left out. */
  readonly convRank?: number | undefined;
  /** Numbers beyond this quantile of a layer's factors are cut off there; 1 leaves all. */
  readonly clampQuantile: number;
  /** The text encoder is left out where none of its numbers differs by more. */
  readonly minDiff: number;
  /** What computes the products. */
  readonly backend: Backend;
  /** Told of each layer that is done. */
  readonly onLayer?: ((done: number, all: number) => void) | undefined;
}

export interface Extracted {
  readonly layers: Layers;
  /** The part of the change's squares that the factors keep, over all layers, before clamping. */
  readonly kept: number;
  /** Whether the text encoder was left out, because it differs too little. */
  readonly sameText: boolean;
  /** Other tensors that differ, for which a LoRA has no place. */
  readonly others: readonly string[];
}

/**
 * The best approximation of given rank to what `tuned` has learned beyond `base`, layer by layer: of its singular value decomposition the largest values, U diag(S) as
 * `lora_up`, V^T as `lora_down`, alpha the rank. Source: kohya-ss/sd-scripts `networks/extract_lora_from_models.py`, whose layers these are.
 *
 * @throws UserError where the models are not of one kind, hold numbers that are not finite, or do not differ
 */
export async function extractLora(
  base: TunedModel,
  tuned: TunedModel,
  { rank, convRank, clampQuantile, minDiff, backend, onLayer }: ExtractOptions,
): Promise<Extracted> {
  checkKinds(base, tuned);
  const differences = largestDifferences(base, tuned);
  const all = [...unetLayers(base.unet), ...clipTextLayers(base.textEncoder)];
  const set = convRank === undefined ? 'attn-mlp' : 'attn-mlp-conv';
  const targets = layersAt(targetGlobs(set, true))(all);
  const isText = ({ path }: LayerInfo): boolean => path.startsWith('text_encoder.');
  const sameText = targets
    .filter(isText)
    .every(({ path }) => differences.get(`${path}.weight`)! <= minDiff);
  const wanted = targets.filter((layer) => !(sameText && isText(layer)));
  const singular = new LargestSingular(backend);
  const layers = new Map<string, LearnedLayer>();
  let [whole, kept] = [0, 0];
  try {
    for (const [i, layer] of wanted.entries()) {
      const shape = matrixOf(layer);
      const difference = differenceAt(base, tuned, `${layer.path}.weight`);
      const asked = isSpatial(layer) ? convRank! : rank;
      const found = await singular.of(difference, shape, Math.min(asked, ...shape));
      whole += squares(difference);
      kept += squares(found.s);
      layers.set(layer.path, factorsAt(layer, found, clampQuantile));
      onLayer?.(i + 1, wanted.length);
    }
  } finally {
    await singular.dispose();
  }
  if (whole === 0)
    throw new UserError(`${tuned.name}: is the same as ${base.name} in all layers that a LoRA has`);
  const covered = new Set(wanted.map(({ path }) => `${path}.weight`));
  const others = [...differences].flatMap(([name, most]) =>
    most > 0 && !covered.has(name) ? [name] : [],
  );
  return { layers, kept: kept / whole, sameText, others };
}

function factorsAt(
  layer: LayerInfo,
  { u, s, v }: Awaited<ReturnType<LargestSingular['of']>>,
  quantile: number,
): LearnedLayer {
  const rank = s.length;
  const kernel = kernelOf(layer);
  const [out, inner] = matrixOf(layer);
  const up = new Float32Array(out * rank);
  const down = new Float32Array(rank * inner);
  for (let r = 0; r < rank; r++) {
    down.set(v[r]!, r * inner);
    for (let row = 0; row < out; row++) up[row * rank + r] = u[r]![row]! * s[r]!;
  }
  clampBoth(up, down, quantile);
  const ones = kernel.map(() => 1);
  return {
    algorithm: 'lora',
    scale: 1,
    tensors: {
      lora_down: floats(down, [rank, layer.in, ...kernel]),
      lora_up: floats(up, [out, rank, ...ones]),
    },
  };
}

/** Cuts the numbers of both off at their quantile and its negative. Source: the same, lines on `clamp_quantile`. */
export function clampBoth(up: Float32Array, down: Float32Array, quantile: number): void {
  if (quantile >= 1) return;
  const all = new Float32Array(up.length + down.length);
  all.set(up);
  all.set(down, up.length);
  all.sort();
  const place = quantile * (all.length - 1);
  const [low, high] = [all[Math.floor(place)]!, all[Math.ceil(place)]!];
  const most = Math.fround(low + (high - low) * (place - Math.floor(place)));
  for (const values of [up, down])
    values.forEach((value, i) => {
      // As PyTorch's clamp: the upper bound counts where a quantile is negative.
      values[i] = Math.min(Math.max(value, -most), most);
    });
}

/** Throws UserError where the models' tensors are not of the same shapes. */
function checkKinds(base: TunedModel, tuned: TunedModel): void {
  for (const [name, weight] of base.weights) {
    const other = tuned.weights.get(name);
    if (String(other?.shape) !== String(weight.shape))
      throw new UserError(
        `${tuned.name}: ${name} is ${other ? `[${other.shape.join(', ')}]` : 'missing'}, in ${base.name} it is [${weight.shape.join(', ')}]: it was not made from this base`,
      );
  }
}

/** By how much the numbers of each tensor differ at most. Models are larger than memory: each tensor is read once. Throws UserError where one holds numbers that are not finite. */
function largestDifferences(base: TunedModel, tuned: TunedModel): ReadonlyMap<string, number> {
  const differences = new Map<string, number>();
  for (const name of base.weights.keys()) {
    const [from, to] = bothAt(base, tuned, name).map(readFloat32);
    let most = 0;
    // A loop of its own: of a thousand million numbers, calls for each would take a minute.
    for (let at = 0; at < from!.length; at++) {
      const difference = Math.abs(to![at]! - from![at]!);
      // Not of two finite numbers.
      if (!(difference < Infinity)) refuseNonFinite(base, tuned, name);
      if (difference > most) most = difference;
    }
    differences.set(name, Math.fround(most));
  }
  return differences;
}

/** Throws UserError naming the model. */
function refuseNonFinite(base: TunedModel, tuned: TunedModel, tensor: string): never {
  for (const { name, weights } of [base, tuned]) {
    const [broken] = findNonFinite([[tensor, weights.get(tensor)!]]);
    if (broken)
      throw new UserError(`${name}: ${tensor} holds ${broken.count} numbers that are not finite`);
  }
  throw internal(`${tensor} is finite in both models`);
}

function differenceAt(base: TunedModel, tuned: TunedModel, name: string): Float32Array {
  const [from, to] = bothAt(base, tuned, name).map(readFloat32) as [Float32Array, Float32Array];
  const difference = new Float32Array(from.length);
  for (let i = 0; i < from.length; i++) difference[i] = to[i]! - from[i]!;
  return difference;
}

const bothAt = (base: TunedModel, tuned: TunedModel, name: string): readonly [Weight, Weight] => [
  base.weights.get(name)!,
  tuned.weights.get(name)!,
];

const squares = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return sum;
};
