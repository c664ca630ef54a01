/** @file Whether what a file holds for a layer fits the layer of a base. */
import type { Layer as LayerInfo } from '@sdft/models';
import type { Base } from '@sdft/pipeline';
import { nearest, type Shape, UserError } from '@sdft/tensor';
import { kernelOf, matrixOf, product } from '../algorithms/algorithm.ts';
import { algorithms } from '../algorithms/algorithms.ts';
import { isAlgorithm, type LearnedLayer, type Network, rankOf, shapesIn } from './network.ts';

/** Where something was found, for messages. */
export interface Place {
  readonly file: string;
  readonly base: Pick<Base, 'name' | 'unet' | 'textEncoder'>;
  readonly network: Network;
}

/**
 * The shapes of a layer's tensors as they are used there: a linear layer's may come as those of a 1x1 convolution, and the other way round.
 *
 * @throws UserError where the base has no such layer, or one of another size
 */
export function fittedShapes(
  path: string,
  learned: LearnedLayer,
  layers: ReadonlyMap<string, LayerInfo>,
  place: Place,
): Record<string, Shape> {
  const layer = layers.get(path);
  if (!layer) {
    const close = nearest(path, layers.keys());
    throw new UserError(
      `${place.file}: changes ${path}, which ${place.base.name} has not${close === undefined ? '' : `; the nearest is ${close}`}${otherKind(place)}`,
    );
  }
  const { algorithm, tensors, onInput } = learned;
  const shapes = shapesIn(tensors);
  const weight = layer.parameters['weight']!;
  const sizes = matrixOf(layer).join(' x ');
  const refuse = (found: string): UserError =>
    new UserError(
      `${place.file}: is ${found} at ${path}, which is ${sizes} in ${place.base.name}${otherKind(place)}`,
    );
  switch (algorithm) {
    case 'norm':
    case 'full':
    case 'ia3': {
      const whole = {
        ...{ diff: weight, w_norm: weight, weight: [onInput ? layer.in : layer.out] },
        ...{ diff_b: [layer.out], b_norm: [layer.out] },
      };
      for (const [name, shape] of Object.entries(shapes)) {
        const wanted = whole[name as keyof typeof whole];
        if (!wanted || product(shape) !== product(wanted))
          throw refuse(`${name} [${shape.join(', ')}]`);
        shapes[name] = wanted;
      }
      return shapes;
    }
    default: {
      const found = algorithms[algorithm].size(shapes);
      if (String(found) !== String(matrixOf(layer))) throw refuse(found.join(' x '));
      if (algorithm === 'lora') Object.assign(shapes, factorShapes(layer, learned));
      const magnitude = shapes['dora_scale'];
      if (magnitude) shapes['dora_scale'] = magnitudeShape(layer, magnitude, refuse);
      return shapes;
    }
  }
}

/** Shapes of LoRA's factors at a layer. */
function factorShapes(layer: LayerInfo, learned: LearnedLayer): Record<string, Shape> {
  const rank = rankOf(learned)!;
  const kernel = kernelOf(layer);
  const ones = kernel.map(() => 1);
  const hasCore = 'lora_mid' in learned.tensors;
  return {
    lora_down: [rank, layer.in, ...(hasCore ? ones : kernel)],
    ...(hasCore && { lora_mid: [rank, rank, ...kernel] }),
    lora_up: [layer.out, rank, ...ones],
  };
}

/** [out, 1, ...], or [1, in, ...] where LyCORIS scaled columns. */
function magnitudeShape(
  layer: LayerInfo,
  shape: Shape,
  refuse: (found: string) => UserError,
): Shape {
  const [out, , ...kernel] = layer.parameters['weight']!;
  const ones = kernel.map(() => 1);
  const byRow = shape[0] === out;
  const count = product(shape);
  if (byRow && count === out) return [out, 1, ...ones];
  if (!byRow && count === layer.in) return [1, layer.in, ...ones];
  throw refuse(`dora_scale [${shape.join(', ')}]`);
}

/** What kind of model a file says, or shows, that it is for. */
function otherKind({ base, network }: Place): string {
  const said = network.metadata['ss_base_model_version'];
  const widths = new Set(
    [...network.layers].flatMap(([path, { algorithm, tensors }]) =>
      path.endsWith('.attn2.to_k') && isAlgorithm(algorithm)
        ? [algorithms[algorithm].size(shapesIn(tensors))[1]]
        : [],
    ),
  );
  const [width] = widths;
  const own = base.unet.crossAttentionDim;
  if (width !== undefined && width !== own)
    return `: it was trained on a base with text states ${width} wide${kinds[width] ?? ''}, this base's are ${own} wide${kinds[own] ?? ''}`;
  return said === undefined ? '' : `: it says that it was trained on ${said}`;
}

const kinds: Readonly<Record<number, string>> = {
  768: ' (Stable Diffusion 1)',
  1024: ' (Stable Diffusion 2)',
  2048: ' (Stable Diffusion XL)',
};
