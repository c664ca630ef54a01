import type { Layer as LayerInfo } from '@sdft/models';
import type { Base, Learned, LearnedKind } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import { hypernetworkAdapter, moduleKey } from './adapter.ts';
import { hypernetworkFiles, valuesOf, widthsOf } from './hypernetworkFiles.ts';
import { type Hypernetwork, readHypernetwork } from './readHypernetwork.ts';
import { structureText } from './structure.ts';

/** Files of hypernetworks; several act one after the other, as in A1111. */
export const hypernetworkKind: LearnedKind = {
  name: 'hypernetwork',
  summary: 'a trained hypernetwork',
  endings: ['.pt', '.safetensors'],
  tags: ['hypernet'],
  async open(file, base): Promise<Learned> {
    const found = await readHypernetwork(file);
    const { structure, modules } = found;
    return {
      adapter: hypernetworkAdapter({
        structure,
        modules,
        pick: (layers) => known(layers, found, file, base),
        files: {
          ...hypernetworkFiles(structure, { modules, everywhere: true }),
          load: async (_, shapes) => valuesOf(found, shapes.keys()),
        },
      }),
      file,
      text: describe(found),
    };
  },
};

/**
 * The layers that the file has modules for. A1111's users may tick more widths than a model has; where that of the text is among them, the others are left aside.
 *
 * @throws UserError where it was trained on another kind of model
 */
function known(
  layers: readonly LayerInfo[],
  { modules, parameters }: Hypernetwork,
  file: string,
  base: Base,
): readonly LayerInfo[] {
  const here = new Set(layers.map((layer) => moduleKey(layer, modules)));
  const foreign = [...parameters.keys()].filter((key) => !here.has(key));
  if (foreign.length === 0 || parameters.has(`${base.unet.crossAttentionDim}.0`))
    return layers.filter((layer) => parameters.has(moduleKey(layer, modules)));
  const what =
    modules === 'layer'
      ? `has a module for ${foreign[0]}, a layer that ${base.name} has not`
      : `has modules for contexts of width ${widthsOf(foreign).join(', ')}, which ${base.name} has not: it has ${widthsOf(here).join(', ')}`;
  throw new UserError(
    `${file}: ${what}. It was trained on another kind of model; take a base of that kind (widths 768, 320, 640, 1280: Stable Diffusion 1; 1024 in place of 768: Stable Diffusion 2)`,
  );
}

function describe({ structure, modules, parameters, step }: Hypernetwork): string {
  const where =
    modules === 'width'
      ? `modules for widths ${widthsOf(parameters.keys()).join(', ')}`
      : `${parameters.size} modules of single layers`;
  return `${where}: ${structureText(structure)}; ${step} steps`;
}
