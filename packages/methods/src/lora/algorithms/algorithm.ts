/** @file What an algorithm of the LoRA family is: how few numbers stand for a change of a layer's weight. */
import type { Layer as LayerInfo } from '@sdft/models';
import type { Initial, Parameters } from '@sdft/pipeline';
import type { Shape, Tensor } from '@sdft/tensor';

/** What an algorithm is asked for at a layer. */
export interface Wanted {
  readonly rank: number;
  /** Kernels of convolutions are decomposed too (a Tucker core in the middle). */
  readonly tucker: boolean;
  /** LoKr: a divisor to split widths by; -1 splits them as evenly as they divide. */
  readonly factor: number;
  /** LoKr: both factors of the product are of low rank, where that is smaller. */
  readonly decomposeBoth: boolean;
  /** First values of the factor that reads the input, in LoRA: normal with deviation 1 / rank (diffusers), or uniform as PyTorch's layers (kohya, LyCORIS). */
  readonly start: 'gaussian' | 'kaiming';
}

/** A change that is added to the weight. Names of its trainables are those of kohya's and LyCORIS' files, without `.weight`. */
export interface Algorithm {
  /** All trainables that it can have. */
  readonly names: readonly string[];
  /** First values at a layer, which change nothing. */
  init(layer: LayerInfo, wanted: Wanted): Parameters<Initial>;
  /** The change of the weight, in the weight's shape, without its scale. */
  delta(weight: Shape, trained: Parameters<Tensor>): Tensor;
  /** What alpha is divided by; undefined where a full matrix has no rank and its scale is 1. */
  rank(shapes: Parameters<Shape>): number | undefined;
  /** Length of the weight's output axis, and of its other axes together, by the shapes of trainables. */
  size(shapes: Parameters<Shape>): readonly [out: number, inner: number];
  /** The trainable that the change is proportional to, which a scale can be folded into. */
  outer(shapes: Parameters<Shape>): string;
}

/** Shape of a layer's weight as a matrix: its output axis, and all others. */
export function matrixOf({ parameters }: LayerInfo): readonly [out: number, inner: number] {
  const [out, ...rest] = parameters['weight']!;
  return [out!, product(rest)];
}

export const product = (lengths: readonly number[]): number => lengths.reduce((n, d) => n * d, 1);

/** Lengths of a convolution's kernel; none for a linear layer. */
export const kernelOf = ({ parameters }: LayerInfo): readonly number[] =>
  parameters['weight']!.slice(2);

/** Whether a layer is a convolution that looks at more than one pixel. */
export const isSpatial = (layer: LayerInfo): boolean => product(kernelOf(layer)) > 1;

/**
 * left [p, i], core [i, j, ...kernel], right [j, r] -> [p, r, ...kernel], summed over i and j: a Tucker decomposition of a convolution (LyCORIS
 * `functional/general.py`, `rebuild_tucker`).
 */
export function tucker(left: Tensor, core: Tensor, right: Tensor): Tensor {
  const [i, j, ...kernel] = core.shape;
  const [p] = left.shape;
  const [, r] = right.shape;
  const cells = product(kernel);
  const half = left.matmul(core.reshape([i!, j! * cells])).reshape([p!, j!, cells]);
  const whole = half
    .permute([0, 2, 1])
    .reshape([p! * cells, j!])
    .matmul(right);
  return whole
    .reshape([p!, cells, r!])
    .permute([0, 2, 1])
    .reshape([p!, r!, ...kernel]);
}
