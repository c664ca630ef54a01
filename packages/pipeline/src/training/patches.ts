import type { Layer as LayerInfo, Patches, ReadParameter } from '@sdft/models';
import type { Tensor } from '@sdft/tensor';
import type { Adapter, Layer, Parameters, Use } from '../contracts.ts';
import type { Attached } from './trainables.ts';

/** Path of the layer whose table new words extend. */
export const tokenEmbedding = 'text_encoder.text_model.embeddings.token_embedding';

/** What traced adapters read beside their layer. */
export interface PatchValues {
  /** The present value of a trainable, by its full name. */
  value(name: string): Tensor;
  /** How an adapter is used, by its index. */
  use(adapter: number): Use;
}

/** Adapters as changes to a network that is traced. */
export function patchesOf(
  adapters: readonly Adapter[],
  { at }: Attached,
  { value, use }: PatchValues,
): Patches {
  return {
    wrap: (layer, apply, frozen) => {
      const attachments = at.get(layer.path) ?? [];
      /** The layer with the first `count` adapters, its frozen parameters read by `parameter`. */
      const withFirst = (count: number, parameter: ReadParameter): ((x: Tensor) => Tensor) => {
        if (count === 0) return (x) => apply(x, parameter);
        const { adapter, parameters } = attachments[count - 1]!;
        const below = (read: ReadParameter) => withFirst(count - 1, read);
        const info = { ...layer, in: layer.in + wordsBefore(adapters, adapter, layer) };
        const values = Object.fromEntries(
          Object.entries(parameters).map(([own, name]) => [own, value(name)]),
        );
        return adapters[adapter]!.wrap(callable(info, below, parameter), values, use(adapter));
      };
      return withFirst(attachments.length, frozen);
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
  below: (parameter: ReadParameter) => (x: Tensor) => Tensor,
  parameter: ReadParameter,
): Layer {
  const call = (x: Tensor): Tensor => below(parameter)(x);
  return Object.assign(call, info, {
    parameter,
    with: (own: Parameters<Tensor>) => below((name) => own[name] ?? parameter(name)),
  });
}
