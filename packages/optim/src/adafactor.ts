import { type Tensor, UserError } from '@sdft/tensor';
import type { Schedule, ScheduledNumber } from './schedule.ts';
import { number, settled } from './settings.ts';
import { decayed, mapNamed, type Named, type Optimizer, recipeOf } from './transform.ts';

export interface AdafactorOptions {
  /** A positive number, or A1111's text of rates and steps. Left out: the relative step min(0.01, 1 / sqrt(step)), a schedule of its own. */
  readonly lr?: ScheduledNumber | undefined;
  /** Added to squared gradients. Default 1e-30. */
  readonly epsilon1?: number | undefined;
  /** The least size of a parameter that `scaleParameter` takes for its own. Default 1e-3. */
  readonly epsilon2?: number | undefined;
  /** Largest root mean square of a parameter's update before the rate. Default 1. */
  readonly clipThreshold?: number | undefined;
  /** Exponent of the step in the decay of squared gradients: 1 - step^decayRate. Default -0.8. */
  readonly decayRate?: number | undefined;
  /** Decay of the running mean of updates, a state as large as the parameters. Default: none. */
  readonly beta1?: number | undefined;
  /** Taken off each parameter at every step, times its own learning rate. Default 0. */
  readonly weightDecay?: number | undefined;
  /** Multiply each parameter's rate by its root mean square, or `epsilon2` where that is more. Default true. */
  readonly scaleParameter?: boolean | undefined;
  /** Let the relative step begin at 1e-6 step. Needs the relative step. Default false. */
  readonly warmupInit?: boolean | undefined;
}

export const adafactorSettings = {
  epsilon1: number(1e-30, { description: 'added to squared gradients', least: 0 }),
  epsilon2: number(1e-3, { description: 'least size of a parameter for its scale', least: 0 }),
  clipThreshold: number(1, { description: 'largest root mean square of an update', above: 0 }),
  decayRate: number(-0.8, {
    description: "exponent of the step in the decay of squared gradients' mean",
    below: 0,
  }),
  beta1: {
    kind: 'number',
    description: 'decay of the mean update; none by default, which saves a state',
    least: 0,
    below: 1,
  },
  weightDecay: number(0, { description: 'weight decay', least: 0 }),
  scaleParameter: {
    kind: 'switch',
    description: "multiply the rate by each parameter's own size",
    default: true,
  },
  warmupInit: {
    kind: 'switch',
    description: 'let the relative step (used where there is no lr) begin small',
    default: false,
  },
} as const;

/**
 * Adafactor (Shazeer and Stern 2018, algorithms 4 and 5) as transformers' `Adafactor` computes it, which is fairseq's. For parameters of two axes or more the mean of squared
 * gradients is kept as means over the last axis (`row.NAME`) and over the one before it (`column.NAME`): of a kernel [O,I,h,w] that is [O,I,h] and [O,I,w]. Others have
 * `v.NAME`; `m.NAME` is there with `beta1`. The decay 1 - step^decayRate comes from the host.
 *
 * `torch.optim.Adafactor` is another algorithm: always scales by the parameter, bounds the given rate by 1 / sqrt(step), has no `beta1`, bounds the divisor from below in
 * place of adding `epsilon1`, and decays weights by the rate alone.
 *
 * @throws UserError for settings out of range
 */
export function adafactor(options: AdafactorOptions = {}): Optimizer {
  const { epsilon1, epsilon2, clipThreshold, decayRate, beta1, weightDecay, ...switches } = settled(
    'adafactor',
    adafactorSettings,
    options,
  );
  const { scaleParameter, warmupInit } = switches;
  if (warmupInit && options.lr !== undefined)
    throw new UserError(
      'adafactor: warmupInit is about the relative step, which is used where there is no lr; leave one of them out',
    );
  const factored = (shape: readonly number[]): boolean => shape.length >= 2;
  return {
    lr: options.lr ?? relativeStep(warmupInit),
    recipe: recipeOf('adafactor', options),
    numbers: {
      beta2: { at: (step) => 1 - (step + 1) ** decayRate },
      share: { at: (step) => (step + 1) ** decayRate },
    },
    init: (parameters) =>
      Object.fromEntries(
        Object.entries(parameters).flatMap(([name, shape]): [string, readonly number[]][] => [
          ...(factored(shape)
            ? ([
                [`row.${name}`, shape.slice(0, -1)],
                [`column.${name}`, [...shape.slice(0, -2), shape.at(-1)!]],
              ] as [string, readonly number[]][])
            : ([[`v.${name}`, shape]] as [string, readonly number[]][])),
          ...(beta1 === undefined ? [] : ([[`m.${name}`, shape]] as [string, readonly number[]][])),
        ]),
      ),
    update({ gradients, parameters, state, numbers, lr, weightDecay: own = {} }) {
      const next: Record<string, Tensor> = {};
      const mean = (name: string, value: Tensor): Tensor =>
        (next[name] = state[name]!.mul(numbers['beta2']!).add(value.mul(numbers['share']!)));
      const moved = mapNamed(parameters, (parameter, name) => {
        const g = gradients[name]!;
        const squares = g.square().add(epsilon1);
        const scaled = factored(g.shape)
          ? factoredStep(
              mean(`row.${name}`, squares.mean(-1)),
              mean(`column.${name}`, squares.mean(-2)),
              g,
            )
          : g.mul(mean(`v.${name}`, squares).rsqrt());
        const rate = scaleParameter
          ? lr[name]!.mul(rootMeanSquare(parameter).maximum(epsilon2))
          : lr[name]!;
        const clip = rootMeanSquare(scaled).div(clipThreshold).maximum(1);
        let step = scaled.mul(rate.div(clip));
        if (beta1 !== undefined) {
          step = state[`m.${name}`]!.mul(beta1).add(step.mul(1 - beta1));
          next[`m.${name}`] = step;
        }
        return decayed(parameter, rate, own[name] ?? weightDecay).sub(step);
      });
      return { parameters: moved as Named<Tensor>, state: next };
    },
  };
}

/** g / sqrt(row column / mean(row)): the outer product of the means stands for the mean of the squares. */
function factoredStep(row: Tensor, column: Tensor, g: Tensor): Tensor {
  const rows = row
    .div(row.mean(-1, { keepDims: true }))
    .rsqrt()
    .unsqueeze(-1);
  return rows.mul(column.rsqrt().unsqueeze(-2)).mul(g);
}

const rootMeanSquare = (x: Tensor): Tensor => x.square().sum().div(x.size).sqrt();

/** min(0.01 or 1e-6 step, 1 / sqrt(step)), steps counted from 1. */
const relativeStep = (warmupInit: boolean): Schedule => ({
  at: (step) => Math.min(warmupInit ? 1e-6 * (step + 1) : 1e-2, 1 / Math.sqrt(step + 1)),
});
