/** @file What becomes of a layer's parameters, for every algorithm of the family. */
import type { Layer as LayerInfo } from '@sdft/models';
import type { Initial, Layer, Parameters } from '@sdft/pipeline';
import type { Shape, Tensor, TensorLike } from '@sdft/tensor';
import { type AlgorithmName, algorithms } from './algorithms/algorithms.ts';
import { decomposed, type DoraNorm } from './algorithms/dora.ts';

/** How a layer is changed. */
export interface Change {
  /** An algorithm that adds to the weight; `ia3` scales outputs or inputs, `full` adds a whole matrix, `norm` adds to the parameters of a norm. */
  readonly algorithm: AlgorithmName | 'ia3' | 'full' | 'norm';
  /** What is trained, by kohya's and LyCORIS' names without `.weight`. */
  readonly trained: Parameters<Initial>;
  /** What the algorithm's change is multiplied with: alpha / rank. */
  readonly scale: number;
  /** How `dora_scale` counts, where it is trained. */
  readonly dora?: DoraNorm | undefined;
  /** `ia3`: inputs are scaled, not outputs. */
  readonly onInput?: boolean | undefined;
  /** `ia3`: outputs are scaled with their bias (PEFT), not what the weight gives alone (LyCORIS). */
  readonly withBias?: boolean | undefined;
}

/** A factor that is 1 while training. */
export type Strength = Tensor | 1;
const times = (value: Tensor, strength: Strength): Tensor =>
  strength === 1 ? value : value.mul(strength);

/**
 * The parameters of a layer with what was learned. DoRA moves from the frozen weight to the learned one in a straight line as `strength` grows, as in A1111
 * (`extensions-builtin/Lora/network.py`, `finalize_updown`): 0 is the frozen layer.
 *
 * @param kept factors of the rows [out] of a change, where some are dropped
 */
export function changedParameters(
  layer: Pick<Layer, 'parameter' | 'parameters'>,
  change: Change,
  trained: Parameters<Tensor>,
  strength: Strength,
  kept?: Tensor,
): Parameters<Tensor> {
  const added = (name: string, more: Tensor | undefined): Parameters<Tensor> =>
    more && layer.parameters[name]
      ? { [name]: layer.parameter(name).add(times(more, strength)) }
      : {};
  switch (change.algorithm) {
    case 'norm':
      return { ...added('weight', trained['w_norm']), ...added('bias', trained['b_norm']) };
    case 'full':
      return { ...added('weight', trained['diff']), ...added('bias', trained['diff_b']) };
    case 'ia3': {
      const weight = layer.parameter('weight');
      const factor = times(trained['weight']!, strength).add(1);
      const axis = change.onInput ? 1 : 0;
      const spread = weight.shape.map((length, i) => (i === axis ? length : 1));
      const hasBias = change.withBias && !change.onInput && layer.parameters['bias'];
      return {
        weight: weight.mul(factor.reshape(spread)),
        ...(hasBias && { bias: layer.parameter('bias').mul(factor.reshape([-1])) }),
      };
    }
    default: {
      const weight = layer.parameter('weight');
      const { delta } = algorithms[change.algorithm];
      const whole = scaled(delta(weight.shape, trained), change.scale);
      const rows = weight.shape.map((length, axis) => (axis === 0 ? length : 1));
      const more = kept ? whole.mul(kept.reshape(rows)) : whole;
      const magnitude = trained['dora_scale'];
      if (!magnitude) return { weight: weight.add(times(more, strength)) };
      const learned = decomposed(weight.add(more), magnitude, change.dora ?? 'detached');
      return {
        weight: strength === 1 ? learned : weight.add(learned.sub(weight).mul(strength)),
      };
    }
  }
}

/** A product that leaves no trace in the graph where it changes nothing. */
export const scaled = (value: Tensor, factor: TensorLike): Tensor =>
  factor === 1 ? value : value.mul(factor);

/** Shapes of what is trained. */
export const shapesOf = (trained: Parameters<{ readonly shape: Shape }>): Parameters<Shape> =>
  Object.fromEntries(Object.entries(trained).map(([name, { shape }]) => [name, shape]));

/** How the layers of a model are changed; undefined where one is left alone. */
export type Changes = (layer: LayerInfo) => Change | undefined;
