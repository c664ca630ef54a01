import type { Schedule } from '@sdft/pipeline';
import { full, type Tensor } from '@sdft/tensor';

export const lossTypes = ['l2', 'l1', 'huber', 'smooth-l1'] as const;
export const huberSchedules = ['snr', 'exponential', 'constant'] as const;

export interface ElementLossOptions {
  /** What becomes of each difference; `huber` and `smooth-l1` forgive outliers: beyond a threshold they grow no longer with the square. Default `l2`, the square. */
  readonly lossType?: (typeof lossTypes)[number] | undefined;
  /** How the threshold falls with the timestep, as kohya has it: with the noise (`snr`), exponentially, or not at all. Default `snr`. */
  readonly huberSchedule?: (typeof huberSchedules)[number] | undefined;
  /** The threshold at the last timestep; `constant`: at every one. Default 0.1. */
  readonly huberC?: number | undefined;
  /** Multiplies the thresholds of `exponential` and `constant`. Default 1. */
  readonly huberScale?: number | undefined;
}

/** What is wrong with the options, if anything. */
export function elementLossProblem(options: ElementLossOptions): string | undefined {
  const { lossType = 'l2', huberSchedule = 'snr', huberC = 0.1, huberScale = 1 } = options;
  if (!lossTypes.includes(lossType))
    return `there is no lossType ${lossType}; there are ${lossTypes.join(', ')}`;
  if (!huberSchedules.includes(huberSchedule))
    return `there is no huberSchedule ${huberSchedule}; there are ${huberSchedules.join(', ')}`;
  if (!(huberC > 0 && huberC <= 1))
    return `huberC must be more than 0 and at most 1, got ${huberC}; 0.1 is usual`;
  if (!(huberScale > 0 && Number.isFinite(huberScale)))
    return `huberScale must be a positive number, got ${huberScale}`;
  return undefined;
}

/**
 * The loss of each element, with e the difference and c the threshold at its timestep: e^2, |e|, 2c (sqrt(e^2 + c^2) - c) or 2 (sqrt(e^2 + c^2) - c).
 * Source: kohya-ss/sd-scripts `library/train_util.py`, `conditional_loss`.
 */
export function elementLoss(
  difference: Tensor,
  schedule: Schedule,
  t: Tensor,
  options: ElementLossOptions,
): Tensor {
  const { lossType = 'l2' } = options;
  if (lossType === 'l2') return difference.square();
  if (lossType === 'l1') return difference.abs();
  const c = threshold(schedule, t, options).reshape([t.size, 1, 1, 1]);
  const soft = difference.square().add(c.square()).sqrt().sub(c).mul(2);
  return lossType === 'huber' ? soft.mul(c) : soft;
}

/** [B]. Source: kohya-ss/sd-scripts `library/train_util.py`, `get_huber_threshold_if_needed`. */
function threshold(
  schedule: Schedule,
  t: Tensor,
  { huberSchedule = 'snr', huberC: c = 0.1, huberScale = 1 }: ElementLossOptions,
): Tensor {
  switch (huberSchedule) {
    case 'constant':
      return full(t, [t.size], c * huberScale);
    case 'exponential':
      return t
        .cast('f32')
        .mul(Math.log(c) / schedule.config.numTrainTimesteps)
        .exp()
        .mul(huberScale);
    case 'snr': {
      // 1 / (1 + sigma), where sigma^2 = 1 / SNR, which has no bounds.
      const signal = schedule.snr(t).sqrt();
      const share = signal.div(signal.add(1));
      return share
        .square()
        .mul(1 - c)
        .add(c);
    }
  }
}
