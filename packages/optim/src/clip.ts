import { squaredNorms, type Tensor, UserError } from '@sdft/tensor';
import { scheduledNumber, type ScheduledNumber } from './schedule.ts';
import { type GradientTransform, mapNamed, type Named } from './transform.ts';

/** The square root of the sum of all squares: [] f32. Throws UserError if there are no tensors. */
export function globalNorm(tensors: Named<Tensor>): Tensor {
  const all = Object.values(tensors);
  if (all.length === 0) throw new UserError('globalNorm: there are no tensors');
  return squaredNorms(all).sum().sqrt();
}

/**
 * Scales all gradients by the same factor so that their global norm is at most `max`: min(1, max / (norm + 1e-6)), PyTorch's `clip_grad_norm_`.
 *
 * @param max a positive number, or A1111's text of numbers and steps (`0.05:5, 0.02`)
 * @throws UserError for anything else
 */
export function clipByGlobalNorm(max: ScheduledNumber): GradientTransform {
  return {
    recipe: { name: 'clipByGlobalNorm', max },
    numbers: { max: scheduledNumber('clip', max) },
    init: () => ({}),
    update: ({ gradients, numbers }) => {
      const factor = numbers['max']!.div(globalNorm(gradients).add(1e-6)).minimum(1);
      return { gradients: mapNamed(gradients, (g) => g.mul(factor)), state: {} };
    },
  };
}

/**
 * Limits every element of every gradient to -max..max, PyTorch's `clip_grad_value_`.
 *
 * @param max as for `clipByGlobalNorm`
 * @throws UserError as there
 */
export function clipByValue(max: ScheduledNumber): GradientTransform {
  return {
    recipe: { name: 'clipByValue', max },
    numbers: { max: scheduledNumber('clip', max) },
    init: () => ({}),
    update: ({ gradients, numbers }) => {
      const most = numbers['max']!;
      return {
        gradients: mapNamed(gradients, (g) => g.minimum(most).maximum(most.neg())),
        state: {},
      };
    },
  };
}
