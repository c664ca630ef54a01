import type { Tensor } from '@sdft/tensor';
import type { Scope } from '../scope.ts';

/** x [..., in] times `weight` [out, in], transposed, plus `bias` [out]: [..., out]. */
export function linear(scope: Scope, x: Tensor, out: number, { bias = true } = {}): Tensor {
  const width = x.shape[x.rank - 1]!;
  return scope.run(
    {
      kind: 'linear',
      in: width,
      out,
      parameters: { weight: [out, width], ...(bias && { bias: [out] }) },
    },
    (input, parameter) => {
      const product = input.matmul(parameter('weight'), { transposeB: true });
      return bias ? product.add(parameter('bias')) : product;
    },
    x,
  );
}
