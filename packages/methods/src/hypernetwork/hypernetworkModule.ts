import type { Draws, Parameters } from '@sdft/pipeline';
import { layerNorm, type Tensor } from '@sdft/tensor';
import { activate } from './activations.ts';
import type { Part } from './structure.ts';

/**
 * What a module adds to its context x [B,L,C]: the parts one after the other, [B,L,C].
 *
 * @param path the layer's, for the names of the draws: `dropout.PATH.PART`, `rrelu.PATH.PART`, uniform, of the shape of what goes in there; a value is dropped where its number is below p
 * @param draw undefined where nothing is trained: then nothing is dropped
 */
export function addedBy(
  parts: readonly Part[],
  parameters: Parameters<Tensor>,
  { path, draw }: { readonly path: string; readonly draw: Draws | undefined },
): (x: Tensor) => Tensor {
  return (context) =>
    parts.reduce((x, part, i) => {
      const parameter = (name: string): Tensor => parameters[`linear.${i}.${name}`]!;
      switch (part.kind) {
        case 'linear':
          return x.matmul(parameter('weight'), { transposeB: true }).add(parameter('bias'));
        case 'norm':
          return layerNorm(x, parameter('weight'), parameter('bias'));
        case 'activation':
          return activate(part.name, x, {
            weight: parameters[`linear.${i}.weight`],
            uniform: () => draw?.uniform(`${part.name}.${path}.${i}`, x.shape),
          });
        case 'dropout':
          if (!draw) return x;
          return draw
            .uniform(`dropout.${path}.${i}`, x.shape)
            .less(part.p)
            .where(0, x.mul(1 / (1 - part.p)));
      }
    }, context);
}
