/** @file What is left out at random while training. */
import type { Draws, Layer } from '@sdft/pipeline';
import type { Shape, Tensor } from '@sdft/tensor';

/** Probabilities; 0 is none. */
export interface Dropouts {
  /** Of elements inside LoRA. */
  readonly dropout: number;
  /** Of ranks, for each picture (LoRA), or of rows of the change (all others). */
  readonly rank: number;
  /** Of the whole change of a layer. */
  readonly module: number;
  /** Where elements are dropped: what LoRA reads (PEFT), or what is between its factors (kohya). */
  readonly place: 'input' | 'inside';
}

/**
 * Factors of `shape` for one use at a layer: 0 where a uniform draw lies below `probability`, elsewhere `otherwise`. Draws are called `LAYER.NAME`.
 */
export function mask(
  draw: Draws,
  { path }: Layer,
  name: string,
  shape: Shape,
  probability: number,
  otherwise: number,
): Tensor {
  return draw.uniform(`${path}.${name}`, shape).less(probability).where(0, otherwise);
}

/** x with elements dropped and the others larger, so that their mean stays (PyTorch's `dropout`). */
export function dropElements(draw: Draws, layer: Layer, x: Tensor, probability: number): Tensor {
  if (probability === 0) return x;
  return x.mul(mask(draw, layer, 'dropout', x.shape, probability, 1 / (1 - probability)));
}
