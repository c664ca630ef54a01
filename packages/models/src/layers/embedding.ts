import type { Tensor } from '@sdft/tensor';
import type { Scope } from '../scope.ts';

/** Rows of `weight` [rows, width] by `indices` (i32, any shape): [...indices, width]. Indices must be below `rows` unless an adapter stands in. */
export const embedding = (scope: Scope, indices: Tensor, rows: number, width: number): Tensor =>
  scope.run(
    { kind: 'embedding', in: rows, out: width, parameters: { weight: [rows, width] } },
    (input, parameter) => parameter('weight').gather(input),
    indices,
  );
