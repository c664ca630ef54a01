import { composite } from '@sdft/tensor';
import { decay, number, settled } from './settings.ts';
import { decayed, joinNamed, type Named, type Optimizer, recipeOf } from './transform.ts';
import type { Tensor } from '@sdft/tensor';

export interface AdamWOptions {
  /** A positive number, or A1111's text of rates and steps (`5e-3:100, 1e-3:1000, 1e-5`). */
  readonly lr: number | string;
  /** Decay of the running mean of gradients. Default 0.9. */
  readonly beta1?: number | undefined;
  /** Decay of the running mean of their squares. Default 0.999. */
  readonly beta2?: number | undefined;
  /** Default 1e-8. */
  readonly epsilon?: number | undefined;
  /** Taken off each parameter at every step, times the learning rate. Default 0.01, as PyTorch has it. */
  readonly weightDecay?: number | undefined;
}

export const adamwSettings = {
  beta1: decay(0.9, 'decay of the mean gradient'),
  beta2: decay(0.999, 'decay of the mean squared gradient'),
  epsilon: number(1e-8, { description: 'added to the divisor', least: 0 }),
  weightDecay: number(0.01, { description: 'weight decay', least: 0 }),
} as const;

type UpdateOptions = Record<'beta1' | 'beta2' | 'epsilon' | 'weightDecay', number>;

/** (parameter, gradient, m, v, lr, correction1, correction2) -> (parameter, m, v), in the order of operations of PyTorch's `_single_tensor_adamw`. */
export const adamwUpdate: (inputs: readonly Tensor[], options: UpdateOptions) => readonly Tensor[] =
  composite<UpdateOptions>('adamw', {
    define: (inputs, { beta1, beta2, epsilon, weightDecay }) => {
      const [parameter, g, m, v, lr, correction1, correction2] = inputs as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
      ];
      const kept = decayed(parameter, lr, weightDecay);
      const nextM = m.add(g.sub(m).mul(1 - beta1));
      const nextV = v.mul(beta2).add(g.mul(1 - beta2).mul(g));
      const deviation = nextV.sqrt().div(correction2.sqrt()).add(epsilon);
      return [kept.sub(nextM.mul(lr.div(correction1)).div(deviation)), nextM, nextV];
    },
  });

/**
 * AdamW (Loshchilov and Hutter 2019, algorithm 2) as PyTorch computes it: decay is decoupled and multiplied by the learning rate.
 * States `m.NAME` and `v.NAME` have the parameters' shapes. The bias corrections 1 - beta^t are numbers from the host: a recursion in f32 drifts by
 * 3e-5 within 10,000 steps at beta 0.999.
 *
 * @throws UserError for settings out of range
 */
export function adamw(options: AdamWOptions): Optimizer {
  const { lr } = options;
  const { beta1, beta2, epsilon, weightDecay } = settled('adamw', adamwSettings, options);
  return {
    lr,
    recipe: recipeOf('adamw', options),
    numbers: {
      correction1: { at: (step) => 1 - beta1 ** (step + 1) },
      correction2: { at: (step) => 1 - beta2 ** (step + 1) },
    },
    init: (parameters) =>
      joinNamed([
        ['m.', parameters],
        ['v.', parameters],
      ]),
    update({ gradients, parameters, state, numbers, lr: rates, weightDecay: own = {} }) {
      const moved: Record<string, Tensor> = {};
      const next: Record<string, Tensor> = {};
      for (const [name, parameter] of Object.entries(parameters)) {
        const [p, m, v] = adamwUpdate(
          [
            parameter,
            gradients[name]!,
            state[`m.${name}`]!,
            state[`v.${name}`]!,
            rates[name]!,
            numbers['correction1']!,
            numbers['correction2']!,
          ],
          { beta1, beta2, epsilon, weightDecay: own[name] ?? weightDecay },
        );
        moved[name] = p!;
        next[`m.${name}`] = m!;
        next[`v.${name}`] = v!;
      }
      return { parameters: moved as Named<Tensor>, state: next };
    },
  };
}
