import { type Tensor, UserError } from '@sdft/tensor';
import { joinNamed, type Optimizer, recipeOf } from './transform.ts';

export interface SgdOptions {
  /** A positive number, or A1111's text of rates and steps (`5e-3:100, 1e-3:1000, 1e-5`). */
  readonly lr: number | string;
  /** Default 0: none. */
  readonly momentum?: number | undefined;
  /** Looks ahead along the momentum (Sutskever et al. 2013). Needs momentum. Default false. */
  readonly nesterov?: boolean | undefined;
  /** Times the parameter, added to its gradient. Default 0. */
  readonly weightDecay?: number | undefined;
}

/**
 * Stochastic gradient descent as PyTorch's `SGD` (without dampening): state `momentum.NAME` where there is momentum.
 *
 * @throws UserError for settings out of range
 */
export function sgd(options: SgdOptions): Optimizer {
  const { lr, momentum = 0, nesterov = false, weightDecay = 0 } = options;
  if (!(momentum >= 0 && momentum < 1))
    throw new UserError(`sgd: momentum must lie in [0, 1), got ${momentum}`);
  if (nesterov && momentum === 0) throw new UserError('sgd: nesterov needs momentum; 0.9 is usual');
  if (!(weightDecay >= 0))
    throw new UserError(`sgd: weightDecay must be at least 0, got ${weightDecay}`);
  return {
    lr,
    recipe: recipeOf('sgd', options),
    numbers: {},
    init: (parameters) => (momentum === 0 ? {} : joinNamed([['momentum.', parameters]])),
    update({ gradients, parameters, state, lr: rates, weightDecay: own = {} }) {
      const moved: Record<string, Tensor> = {};
      const next: Record<string, Tensor> = {};
      for (const [name, parameter] of Object.entries(parameters)) {
        const decay = own[name] ?? weightDecay;
        const g = decay === 0 ? gradients[name]! : gradients[name]!.add(parameter.mul(decay));
        let step = g;
        if (momentum > 0) {
          const velocity = state[`momentum.${name}`]!.mul(momentum).add(g);
          next[`momentum.${name}`] = velocity;
          step = nesterov ? g.add(velocity.mul(momentum)) : velocity;
        }
        moved[name] = parameter.sub(step.mul(rates[name]!));
      }
      return { parameters: moved, state: next };
    },
  };
}
