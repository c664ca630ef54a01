import { full, type Tensor, UserError } from '@sdft/tensor';
import type { ScheduledNumber } from './schedule.ts';
import { decay, number, settled } from './settings.ts';
import { decayed, joinNamed, mapNamed, type Named, type Optimizer, recipeOf } from './transform.ts';

export interface ProdigyOptions {
  /** Multiplies the step size that Prodigy finds; 1, the default, is meant to stay. Schedules multiply it as they do other rates. */
  readonly lr?: ScheduledNumber | undefined;
  /** Decay of the running mean of gradients. Default 0.9. */
  readonly beta1?: number | undefined;
  /** Decay of the running mean of their squares. Default 0.999. */
  readonly beta2?: number | undefined;
  /** Decay of the sums that the step size is found by. Default: the square root of beta2. */
  readonly beta3?: number | undefined;
  /** Default 1e-8. */
  readonly epsilon?: number | undefined;
  /** Default 0. */
  readonly weightDecay?: number | undefined;
  /** Take weight decay off the parameters, as AdamW does, and not into the gradients. Default true. */
  readonly decouple?: boolean | undefined;
  /** Adam's bias corrections. Default false; diffusers' scripts switch it on. */
  readonly useBiasCorrection?: boolean | undefined;
  /** Leave the learning rate out of the divisor of the estimate, so that a warm-up does not inflate it. Default false; diffusers' scripts switch it on. */
  readonly safeguardWarmup?: boolean | undefined;
  /** The first step size. Default 1e-6. */
  readonly d0?: number | undefined;
  /** Multiplies the estimate: the setting to tune, 0.5 to 2. Default 1. */
  readonly dCoef?: number | undefined;
  /** By how much the step size may grow from step to step; 1.02 makes a kind of warm-up. Default: without limit. */
  readonly growthRate?: number | undefined;
}

export const prodigySettings = {
  beta1: decay(0.9, 'decay of the mean gradient'),
  beta2: decay(0.999, 'decay of the mean squared gradient'),
  beta3: {
    kind: 'number',
    description: 'decay of the sums that the step size is found by; by default the root of beta2',
    least: 0,
    below: 1,
  },
  epsilon: number(1e-8, { description: 'added to the divisor', above: 0 }),
  weightDecay: number(0, { description: 'weight decay', least: 0 }),
  decouple: {
    kind: 'switch',
    description: 'decay the parameters themselves, as AdamW does',
    default: true,
  },
  useBiasCorrection: { kind: 'switch', description: "Adam's bias corrections", default: false },
  safeguardWarmup: {
    kind: 'switch',
    description: 'keep a warm-up from inflating the estimate',
    default: false,
  },
  d0: number(1e-6, { description: 'first step size', above: 0 }),
  dCoef: number(1, { description: 'multiplies the estimate of the step size', above: 0 }),
  growthRate: {
    kind: 'number',
    description: 'most growth of the step size from step to step; none by default',
    above: 1,
  },
} as const;

/**
 * Prodigy (Mishchenko and Defazio 2023, algorithm 4) as prodigyopt 1.1 computes it: Adam, whose step size d is estimated from how far all parameters have come together.
 * States: `m.NAME`, `v.NAME`, `s.NAME` and the first values `p0.NAME`, of the parameters' shapes; [] each: `d`, `dMax`, `dNumerator`, and `k`, the steps that counted.
 *
 * A step without any rate (the first of a warm-up), or before there was any gradient, is not counted, as in prodigyopt. So only the graph knows `k`, and the bias corrections
 * are computed there, as -expm1(k log beta) from tanh, which is exact to f32's last digits.
 *
 * @throws UserError for settings out of range; when it is traced, where parameters have different learning rates
 */
export function prodigy(options: ProdigyOptions = {}): Optimizer {
  const settings = settled('prodigy', prodigySettings, options);
  const { beta1, beta2, beta3 = Math.sqrt(beta2), epsilon, weightDecay, decouple } = settings;
  const { useBiasCorrection, safeguardWarmup, d0, dCoef, growthRate } = settings;
  return {
    lr: options.lr ?? 1,
    recipe: recipeOf('prodigy', options),
    numbers: {},
    init: (parameters) => ({
      ...{ k: [], d: [], dMax: [], dNumerator: [] },
      ...joinNamed([
        ...(beta1 > 0 ? [['m.', parameters] as const] : []),
        ['v.', parameters],
        ['s.', parameters],
        ['p0.', parameters],
      ]),
    }),
    update({ gradients, parameters, state, lr: rates, weightDecay: own = {} }) {
      const lr = theRate(rates);
      const k = state['k']!;
      const begun = k.greater(0);
      const d = begun.where(state['d']!, d0);
      const dMax = begun.where(state['dMax']!, d0);
      // prodigyopt sees nothing of a step whose rate is 0.
      const seen = lr.greater(0);
      const ifSeen = (value: Tensor | number, otherwise: number) => seen.where(value, otherwise);
      const steps = k.add(1);
      const dlr = useBiasCorrection
        ? d.mul(lr).mul(oneMinusPower(beta2, steps).sqrt().div(oneMinusPower(beta1, steps)))
        : d.mul(lr);
      const growth = d.div(d0);

      const next: Record<string, Tensor> = {};
      const used: Record<string, Tensor> = {};
      const terms: Tensor[] = [];
      const sizes: Tensor[] = [];
      for (const [name, parameter] of Object.entries(parameters)) {
        const share = own[name] ?? weightDecay;
        const plain = gradients[name]!;
        const g = decouple || share === 0 ? plain : plain.add(parameter.mul(share));
        used[name] = g;
        const start = begun.where(state[`p0.${name}`]!, parameter);
        const kept = (key: string, beta: number, value: Tensor): Tensor =>
          (next[`${key}.${name}`] = state[`${key}.${name}`]!.mul(ifSeen(beta, 1)).add(value));
        if (beta1 > 0) kept('m', beta1, g.mul(ifSeen(d.mul(1 - beta1), 0)));
        kept('v', beta2, g.square().mul(ifSeen(d.square().mul(1 - beta2), 0)));
        const s = kept('s', beta3, g.mul(ifSeen(growth.mul(safeguardWarmup ? d : dlr), 0)));
        next[`p0.${name}`] = start;
        terms.push(g.mul(start.sub(parameter)).sum());
        sizes.push(s.abs().sum());
      }

      const divisor = total(sizes);
      const moves = seen.where(divisor, 0).greater(0);
      const numerator = state['dNumerator']!.mul(beta3).add(growth.mul(dlr).mul(total(terms)));
      const estimate = numerator.mul(dCoef).div(moves.where(divisor, 1));
      const most = dMax.maximum(estimate);
      const grown = d.equal(full(d, [], d0)).where(d.maximum(estimate), d);
      const nextD = growthRate === undefined ? most : most.minimum(grown.mul(growthRate));
      next['k'] = moves.where(k.add(1), k);
      next['d'] = moves.where(nextD, d);
      next['dMax'] = moves.where(most, dMax);
      next['dNumerator'] = moves.where(numerator, state['dNumerator']!);

      const step = moves.where(dlr, 0);
      const moved = mapNamed(parameters, (parameter, name) => {
        const kept = decouple ? decayed(parameter, step, own[name] ?? weightDecay) : parameter;
        const divided = next[`v.${name}`]!.sqrt().add(next['d']!.mul(epsilon));
        const direction = beta1 > 0 ? next[`m.${name}`]! : used[name]!.mul(next['d']!);
        return kept.sub(direction.div(divided).mul(step));
      });
      return { parameters: moved as Named<Tensor>, state: next };
    },
  };
}

/** The learning rate of all parameters. Throws UserError where there are several. */
function theRate(rates: Named<Tensor>): Tensor {
  const [first, ...others] = Object.values(rates);
  if (others.some(({ id }) => id !== first!.id))
    throw new UserError(
      'prodigy: finds one step size for all parameters, and takes one learning rate; leave out the rates of single parts, or use another optimizer',
    );
  return first!;
}

const total = ([first, ...others]: readonly Tensor[]): Tensor =>
  others.reduce((sum, one) => sum.add(one), first!);

/** 1 - base^exponent, without the digits that 1 - x loses where x is almost 1: with t = tanh(log(base) exponent / 2) it is -2t / (1 - t). */
function oneMinusPower(base: number, exponent: Tensor): Tensor {
  if (base === 0) return full(exponent, [], 1);
  const t = exponent.mul(Math.log(base) / 2).tanh();
  return t.mul(-2).div(t.neg().add(1));
}
