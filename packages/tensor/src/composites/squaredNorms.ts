import { UserError } from '../errors.ts';
import type { Tensor } from '../trace/tensor.ts';
import { stack } from '../trace/trace.ts';
import { composite } from './define.ts';

const squaredNormsComposite = composite<Record<string, never>>('squaredNorms', {
  define: (tensors) => [stack(tensors.map((tensor) => tensor.square().sum()))],
});

/**
 * The sum of the squares of each tensor, [tensors] f32: for norms of gradients, of which there may be hundreds.
 *
 * @throws UserError if there are no tensors
 */
export function squaredNorms(tensors: readonly Tensor[]): Tensor {
  if (tensors.length === 0) throw new UserError('squaredNorms: there are no tensors');
  return squaredNormsComposite(tensors, {})[0]!;
}
