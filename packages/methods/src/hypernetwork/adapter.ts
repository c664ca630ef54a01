import type { Layer as LayerInfo } from '@sdft/models';
import type { Adapter, AdapterFiles, PlainRecord } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import { addedBy } from './hypernetworkModule.ts';
import { initialModule } from './initialisation.ts';
import { partsOf, type Structure } from './structure.ts';

/** Whether all layers over contexts of one width share two modules (A1111), or each layer has one of its own. */
export type Modules = 'width' | 'layer';

export interface HypernetworkParts {
  readonly structure: Structure;
  readonly modules: Modules;
  /** Chooses among the layers that can have a module. Throws UserError where what is wanted is not there. */
  readonly pick: (layers: readonly LayerInfo[]) => readonly LayerInfo[];
  readonly files: AdapterFiles;
  readonly options?: PlainRecord;
}

/** The layers that make keys and values, in self-attention and cross-attention. */
export const attentionLayers = (layers: readonly LayerInfo[]): LayerInfo[] =>
  layers.filter(({ path }) => /^unet\..*\.attn[12]\.to_[kv]$/.test(path));

/** The name of the module at a layer: its path, or the context's width with 0 for keys and 1 for values, as in A1111's pairs. */
export const moduleKey = ({ path, in: width }: LayerInfo, modules: Modules): string =>
  modules === 'layer' ? path : `${width}.${path.endsWith('.to_k') ? 0 : 1}`;

/** The hypernetwork as an adapter: to_k(x + h(x)), to_v(x + h'(x)), where x [B,L,C] is the context and h, h' are modules. */
export function hypernetworkAdapter(given: HypernetworkParts): Adapter {
  const { structure, modules, pick, files, options } = given;
  return {
    name: 'hypernetwork',
    ...(options && { options }),
    at: (layers) => pick(attentionLayers(layers)),
    side: 'input',
    share: (layer) => moduleKey(layer, modules),
    files,
    init: ({ in: width }) => {
      const parts = partsOf(structure, width);
      if (parts.some((part) => part.kind === 'linear' && part.out < 1))
        throw new UserError(
          `hypernetwork: layerStructure "${structure.layerStructure.join(', ')}" leaves nothing of a context of width ${width}; take larger numbers`,
        );
      return initialModule(parts, structure.weightInit);
    },
    wrap: (layer, parameters, { draw, strength }) => {
      const added = addedBy(partsOf(structure, layer.in), parameters, { path: layer.path, draw });
      return (x) => layer(x.add(strength === 1 ? added(x) : added(x).mul(strength)));
    },
  };
}
