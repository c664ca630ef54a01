/** @file A LoRA out of two models: what one learned from the other. */
import { clipTextLayers, findNonFinite, readFloat32, unetLayers } from '@sdft/models';
import type { Layer as LayerInfo } from '@sdft/models';
import type { Base } from '@sdft/pipeline';
import { type Backend, UserError, type Weight } from '@sdft/tensor';
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
  const all = [...unetLayers(base.unet), ...clipTextLayers(base.textEncoder)];
  const set = convRank === undefined ? 'attn-mlp' : 'attn-mlp-conv';
  const targets = layersAt(targetGlobs(set, true))(all);
  const isText = ({ path }: LayerInfo): boolean => path.startsWith('text_encoder.');
  const sameText = targets
    .filter(isText)
    .every(({ path }) => largest(differenceAt(base, tuned, `${path}.weight`)) <= minDiff);
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
  const others = [...base.weights.keys()].filter(
    (name) => !covered.has(name) && largest(differenceAt(base, tuned, name)) > 0,
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
  for (const { name, weights } of [base, tuned]) {
    const [broken] = findNonFinite(weights);
    if (broken)
      throw new UserError(
        `${name}: ${broken.name} holds ${broken.count} numbers that are not finite`,
      );
  }
}

function differenceAt(base: TunedModel, tuned: TunedModel, name: string): Float32Array {
  const [before, after] = [base, tuned].map(({ weights }) => weights.get(name) as Weight);
  const from = readFloat32(before!);
  return readFloat32(after!).map((value, i) => value - from[i]!);
}

const largest = (values: Float32Array): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

const squares = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return sum;
};
