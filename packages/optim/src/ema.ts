import { type Tensor, UserError } from '@sdft/tensor';
import type { Schedule } from './schedule.ts';

export interface EmaOptions {
  /** The largest decay. Default 0.9999. */
  readonly decay?: number | undefined;
  /** The smallest decay, from the second averaged step on. Default 0. */
  readonly minDecay?: number | undefined;
  /** Steps at whose end the average is still the parameter itself. Default 0. */
  readonly updateAfterStep?: number | undefined;
  /** The decay grows as 1 - (1 + n / invGamma)^-power instead of (1 + n) / (10 + n). Default false. */
  readonly useEmaWarmup?: boolean | undefined;
  /** Default 1. */
  readonly invGamma?: number | undefined;
  /** Default 2/3. */
  readonly power?: number | undefined;
}

/** A running average of parameters. */
export interface Ema {
  /** 1 - decay: the part of the new value that each step takes in; 1 at the first step, whose result the average begins with. */
  readonly rate: Schedule;
  /** The next average: average - rate (average - parameter), `rate` being [] f32, the others of one shape. */
  update(average: Tensor, parameter: Tensor, rate: Tensor): Tensor;
}

/**
 * The exponential moving average of diffusers (`training_utils.py`, `EMAModel`), in its order of operations: after step n = 1, 2, ... with s = n - updateAfterStep - 1 the
 * decay is 0 where s <= 0, else (1 + s) / (10 + s), or with `useEmaWarmup` 1 - (1 + s / invGamma)^-power, within minDecay..decay.
 *
 * @throws UserError for settings out of range
 */
export function ema(options: EmaOptions = {}): Ema {
  const { decay = 0.9999, minDecay = 0, updateAfterStep = 0 } = options;
  const { useEmaWarmup = false, invGamma = 1, power = 2 / 3 } = options;
  for (const [name, value] of Object.entries({ decay, minDecay }))
    if (!(value >= 0 && value <= 1))
      throw new UserError(`ema: ${name} must lie between 0 and 1, got ${value}; 0.9999 is usual`);
  if (minDecay > decay)
    throw new UserError(`ema: minDecay ${minDecay} is larger than decay ${decay}`);
  if (!Number.isInteger(updateAfterStep) || updateAfterStep < 0)
    throw new UserError(
      `ema: updateAfterStep must be a whole number, 0 or more, got ${updateAfterStep}`,
    );
  for (const [name, value] of Object.entries({ invGamma, power }))
    if (!(value > 0 && Number.isFinite(value)))
      throw new UserError(`ema: ${name} must be a positive number, got ${value}`);
  const decayAt = (step: number): number => {
    const s = step - updateAfterStep;
    if (s <= 0) return 0;
    const grown = useEmaWarmup ? 1 - (1 + s / invGamma) ** -power : (1 + s) / (10 + s);
    return Math.max(minDecay, Math.min(decay, grown));
  };
  return {
    rate: { at: (step) => 1 - decayAt(step) },
    update: (average, parameter, rate) => average.sub(average.sub(parameter).mul(rate)),
  };
}
