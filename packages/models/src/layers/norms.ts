import * as tensor from '@sdft/tensor';
import type { Tensor } from '@sdft/tensor';
import type { Scope } from '../scope.ts';

/** Over the last axis of x [..., C], with `weight` and `bias` [C]. */
export const layerNorm = (scope: Scope, x: Tensor, { eps = 1e-5 } = {}): Tensor =>
  norm(scope, x, x.shape[x.rank - 1]!, (input, weight, bias) =>
    tensor.layerNorm(input, weight, bias, eps),
  );

/** Over `groups` groups of the channels of x [B, C, ...], with `weight` and `bias` [C]. */
export const groupNorm = (
  scope: Scope,
  x: Tensor,
  options: { groups: number; eps: number },
): Tensor =>
  norm(scope, x, x.shape[1]!, (input, weight, bias) =>
    tensor.groupNorm(input, weight, bias, options),
  );

const norm = (
  scope: Scope,
  x: Tensor,
  width: number,
  normalise: (input: Tensor, weight: Tensor, bias: Tensor) => Tensor,
): Tensor =>
  scope.run(
    { kind: 'norm', in: width, out: width, parameters: { weight: [width], bias: [width] } },
    (input, parameter) => normalise(input, parameter('weight'), parameter('bias')),
    x,
  );
