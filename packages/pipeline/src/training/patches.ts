import type { Layer as LayerInfo, Patches } from '@sdft/models';
import type { Tensor } from '@sdft/tensor';
import type { Adapter, Layer } from '../contracts.ts';
import type { Attached } from './trainables.ts';

/** Path of the layer whose table new words extend. */
export const tokenEmbedding = 'text_encoder.text_model.embeddings.token_embedding';

/**
 * Adapters as changes to a network that is traced.
 *
 * @param value the present value of a trainable, by its full name
 */
export function patchesOf(
  adapters: readonly Adapter[],
  { at }: Attached,
  value: (name: string) => Tensor,
): Patches {
  return {
    wrap: (layer, apply, parameter) => {
      let present = apply;
      for (const { adapter, parameters } of at.get(layer.path) ?? []) {
        const taught = wordsBefore(adapters, adapter, layer);
        const values = Object.fromEntries(
          Object.entries(parameters).map(([own, name]) => [own, value(name)]),
        );
        present = adapters[adapter]!.wrap(callable(layer, present, parameter, taught), values);
      }
      return present;
    },
  };
}

/** Rows that earlier adapters add to a table of words. */
function wordsBefore(adapters: readonly Adapter[], adapter: number, { path }: LayerInfo): number {
  if (path !== tokenEmbedding) return 0;
  return adapters
    .slice(0, adapter)
    .flatMap(({ tokens = [] }) => tokens)
    .reduce((sum, { vectors }) => sum + vectors, 0);
}

function callable(
  info: LayerInfo,
  apply: (x: Tensor) => Tensor,
  parameter: (name: string) => Tensor,
  taught: number,
): Layer {
  const call = (x: Tensor): Tensor => apply(x);
  return Object.assign(call, info, { in: info.in + taught, parameter });
}
