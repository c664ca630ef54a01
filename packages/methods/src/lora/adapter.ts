/** @file Changes of layers as an adapter. */
import type { Adapter, Draws, Layer, Parameters, Use } from '@sdft/pipeline';
import { apply, type Tensor } from '@sdft/tensor';
import { type Change, changedParameters, type Changes, scaled } from './change.ts';
import { dropElements, type Dropouts, mask } from './dropout.ts';

/** An adapter that changes layers as `changes` says. */
export function changingAdapter(
  changes: Changes,
  dropouts: Dropouts | undefined,
  about: Pick<Adapter, 'name' | 'at'> & Partial<Adapter>,
): Adapter {
  return {
    ...about,
    init: (layer) => changes(layer)?.trained ?? {},
    wrap: (layer, trained, use) => {
      const change = changes(layer)!;
      const changed = changedLayer(layer, change, trained, use, dropouts);
      if (!dropouts || dropouts.module === 0 || !use.draw) return changed;
      const dropped = use.draw.uniform(`${layer.path}.module_dropout`, []).less(dropouts.module);
      return (x) => dropped.where(layer(x), changed(x));
    },
  };
}

function changedLayer(
  layer: Layer,
  change: Change,
  trained: Parameters<Tensor>,
  { draw, strength }: Use,
  dropouts: Dropouts | undefined,
): (x: Tensor) => Tensor {
  const dropping = draw && dropouts ? { draw, dropouts } : undefined;
  if (change.algorithm === 'lora' && !trained['dora_scale'])
    return (x) => {
      const added = beside(layer, trained, change.scale, x, dropping);
      return layer(x).add(strength === 1 ? added : added.mul(strength));
    };
  const kept =
    dropping && dropping.dropouts.rank > 0
      ? mask(dropping.draw, layer, 'rank_dropout', [layer.out], dropping.dropouts.rank, 1)
      : undefined;
  return layer.with(changedParameters(layer, change, trained, strength, kept));
}

/** What LoRA adds to a layer's output: two products with little in between, in place of a changed weight. */
function beside(
  layer: Layer,
  { lora_down: down, lora_mid: mid, lora_up: up }: Parameters<Tensor>,
  scale: number,
  x: Tensor,
  dropping: { readonly draw: Draws; readonly dropouts: Dropouts } | undefined,
): Tensor {
  const elements = (place: Dropouts['place'], at: Tensor): Tensor =>
    dropping?.dropouts.place === place
      ? dropElements(dropping.draw, layer, at, dropping.dropouts.dropout)
      : at;
  const read = elements('input', x);
  const first = through(layer, read, down!, mid === undefined);
  const inside = elements('inside', mid ? through(layer, first, mid, true) : first);
  const rank = dropping?.dropouts.rank ?? 0;
  if (rank === 0) return scaled(through(layer, inside, up!, false), scale);
  const [batch, ranks] = [x.shape[0]!, up!.shape[1]!];
  const kept = mask(dropping!.draw, layer, 'rank_dropout', [batch, ranks], rank, 1);
  const axis = layer.kind === 'conv2d' ? 1 : x.rank - 1;
  const spread = x.shape.map((_, i) => (i === 0 ? batch : i === axis ? ranks : 1));
  // As if the rank were smaller: what is left counts for more.
  const more = scale / (1 - rank);
  return scaled(through(layer, inside.mul(kept.reshape(spread)), up!, false), more);
}

/** x through a matrix or a convolution; `outermost` has the stride and padding of the layer. */
function through(layer: Layer, x: Tensor, weight: Tensor, outermost: boolean): Tensor {
  if (layer.kind !== 'conv2d') return x.matmul(weight, { transposeB: true });
  return apply(
    'conv2d',
    [x, weight],
    outermost ? layer.conv! : { stride: [1, 1], padding: [0, 0, 0, 0] },
  );
}
