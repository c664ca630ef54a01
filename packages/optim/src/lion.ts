import { decayed, joinNamed, mapNamed, type Named, type Optimizer, recipeOf } from './transform.ts';
import { decay, number, settled } from './settings.ts';
import type { Tensor } from '@sdft/tensor';

export interface LionOptions {
  /** A positive number, or A1111's text of rates and steps. Every step moves every number by it: a third to a tenth of AdamW's rate is usual. */
  readonly lr: number | string;
  /** Share of the running mean in the update. Default 0.9. */
  readonly beta1?: number | undefined;
  /** Decay of the running mean itself. Default 0.99. */
  readonly beta2?: number | undefined;
  /** Taken off each parameter at every step, times the learning rate; three to ten times AdamW's is usual. Default 0, as lion-pytorch has it. */
  readonly weightDecay?: number | undefined;
}

export const lionSettings = {
  beta1: decay(0.9, 'share of the mean gradient in the update'),
  beta2: decay(0.99, 'decay of the mean gradient'),
  weightDecay: number(0, { description: 'weight decay', least: 0 }),
} as const;

/**
 * Lion (Chen et al. 2023, algorithm 2) as lion-pytorch computes it: the sign of a blend of gradient and running mean, with decoupled weight decay that is multiplied by the
 * learning rate. One state, `m.NAME`, of the parameter's shape. (lion-pytorch's `decoupled_weight_decay` is the same with `weightDecay` divided by the first rate.)
 *
 * @throws UserError for settings out of range
 */
export function lion(options: LionOptions): Optimizer {
  const { beta1, beta2, weightDecay } = settled('lion', lionSettings, options);
  return {
    lr: options.lr,
    recipe: recipeOf('lion', options),
    numbers: {},
    init: (parameters) => joinNamed([['m.', parameters]]),
    update({ gradients, parameters, state, lr, weightDecay: own = {} }) {
      const next: Record<string, Tensor> = {};
      const moved = mapNamed(parameters, (parameter, name) => {
        const [g, m, rate] = [gradients[name]!, state[`m.${name}`]!, lr[name]!];
        next[`m.${name}`] = m.mul(beta2).add(g.mul(1 - beta2));
        return decayed(parameter, rate, own[name] ?? weightDecay).sub(
          m
            .mul(beta1)
            .add(g.mul(1 - beta1))
            .sign()
            .mul(rate),
        );
      });
      return { parameters: moved as Named<Tensor>, state: next };
    },
  };
}
