import { type Tensor, UserError } from '@sdft/tensor';
import { decay, number, settled } from './settings.ts';
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

export const sgdSettings = {
  momentum: decay(0, 'momentum'),
  nesterov: { kind: 'switch', description: 'look ahead along the momentum', default: false },
  weightDecay: number(0, { description: 'weight decay', least: 0 }),
} as const;

/**
 * Stochastic gradient descent as PyTorch's `SGD` (without dampening): state `momentum.NAME` where there is momentum.
 *
 * @throws UserError for settings out of range
 */
export function sgd(options: SgdOptions): Optimizer {
  const { lr } = options;
  const { momentum, nesterov, weightDecay } = settled('sgd', sgdSettings, options);
  if (nesterov && momentum === 0) throw new UserError('sgd: nesterov needs momentum; 0.9 is usual');
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
