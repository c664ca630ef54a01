import type { Layer as LayerInfo } from '@sdft/models';
import type { Adapter, AdapterFiles, PlainRecord } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import { addedBy } from './hypernetworkModule.ts';
import { initialModule } from './initialisation.ts';
import { depthsOf } from './shallowPenalty.ts';
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
  /**
   * Adds this times the mean of (1 - depth) mean(h(x)^2) over all modules' layers to the loss, where h(x) is what a module adds to its context and depth runs from 0 at
   * both ends of the U-Net to 1 in its middle. Default 0.
   */
  readonly shallowPenalty?: number | undefined;
}

/** The layers that make keys and values, in self-attention and cross-attention. */
export const attentionLayers = (layers: readonly LayerInfo[]): LayerInfo[] =>
  layers.filter(({ path }) => /^unet\..*\.attn[12]\.to_[kv]$/.test(path));

/** The name of the module at a layer: its path, or the context's width with 0 for keys and 1 for values, as in A1111's pairs. */
export const moduleKey = ({ path, in: width }: LayerInfo, modules: Modules): string =>
  modules === 'layer' ? path : `${width}.${path.endsWith('.to_k') ? 0 : 1}`;

/** The hypernetwork as an adapter: to_k(x + h(x)), to_v(x + h'(x)), where x [B,L,C] is the context and h, h' are modules. */
export function hypernetworkAdapter(given: HypernetworkParts): Adapter {
  const { structure, modules, pick, files, options, shallowPenalty = 0 } = given;
  /** What the penalty of a layer counts. */
  const share = (path: string, all: readonly LayerInfo[]): number => {
    const layers = attentionLayers(all);
    const depth = depthsOf(layers.map((layer) => layer.path)).get(path)!;
    return (shallowPenalty * (1 - depth)) / pick(layers).length;
  };
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
    wrap: (layer, parameters, { draw, strength, layers, penalize }) => {
      const module = addedBy(partsOf(structure, layer.in), parameters, { path: layer.path, draw });
      const penalty = shallowPenalty === 0 ? 0 : share(layer.path, layers);
      return (x) => {
        const added = module(x);
        if (penalty > 0) penalize(added.square().mean().mul(penalty));
        return layer(x.add(strength === 1 ? added : added.mul(strength)));
      };
    },
  };
}
