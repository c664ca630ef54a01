/** @file DoRA: a weight's direction and the length of its rows are learned apart. */
import type { Layer as LayerInfo } from '@sdft/models';
import type { Initial } from '@sdft/pipeline';
import { hostArray, type HostArray, type Shape, type Tensor } from '@sdft/tensor';

/**
 * Whether the gradient goes through the length of the changed weight: `detached` as in the paper (section 4.3) and PEFT, `whole` as in LyCORIS.
 */
export type DoraNorm = 'detached' | 'whole';

/** `dora_scale` [out, 1, ...]: the lengths of the frozen weight's rows, a kernel's cells included. */
export function magnitudes({ path, parameters }: LayerInfo): Initial {
  const [out, ...rest] = parameters['weight']!;
  const shape = [out!, ...rest.map(() => 1)];
  return {
    shape,
    values: (context) => {
      const { data } = context.weight(`${path}.weight`);
      const row = data.length / out!;
      const lengths = Float32Array.from({ length: out! }, (_, i) =>
        Math.hypot(...data.subarray(i * row, (i + 1) * row)),
      );
      return hostArray(lengths, shape) as HostArray;
    },
  };
}

/**
 * m V / ||V|| (Liu et al. 2024, DoRA, equation 5), V being the changed weight [out, in, ...kernel]. The norm is taken over all axes but the one along which `scale` [out, 1, ...] or
 * [1, in, ...] has its numbers.
 */
export function decomposed(changed: Tensor, scale: Tensor, norm: DoraNorm): Tensor {
  const axes = normAxes(scale.shape, changed.shape);
  const length = changed.square().sum(axes, { keepDims: true }).sqrt();
  const divisor = norm === 'detached' ? length.stopGradient() : length.add(2 ** -23);
  return changed.mul(scale.div(divisor));
}

/** LyCORIS can scale columns in place of rows; the shape tells. */
const normAxes = (scale: Shape, weight: Shape): number[] =>
  weight.flatMap((length, axis) =>
    (axis === 0 && scale[0] === length) || (axis === 1 && scale[0] !== weight[0]) ? [] : [axis],
  );
