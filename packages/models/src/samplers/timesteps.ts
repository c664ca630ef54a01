import { UserError } from '@sdft/tensor';
import type { SamplingOptions } from './sampler.ts';

/** To the nearest whole number, halves to the even one, as NumPy rounds. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest === 0.5) return floor % 2 === 0 ? floor : floor + 1;
  return rest < 0.5 ? floor : floor + 1;
}

/** `np.linspace(0, last, count)`: one point is 0. */
function linspace(last: number, count: number): number[] {
  const step = count > 1 ? last / (count - 1) : 0;
  return Array.from({ length: count }, (_, i) => (i > 0 && i === count - 1 ? last : i * step));
}

/** `np.arange(start, 0, -step)`, of which `count` values are taken; it steps by the rounded difference of its first two values. */
function countDown(start: number, step: number, count: number): number[] {
  const difference = start - step - start;
  return Array.from({ length: count }, (_, i) => start + i * difference);
}

/**
 * Timesteps of DDIM, PLMS and Euler, falling. `leading`: multiples of ⌊T/steps⌋ plus the checkpoint's offset; `linspace`: from T−1 to
 * 0, whole numbers unless `fractional` (one step is timestep 0 then, as in diffusers); `trailing`: from T−1 down in steps of T/steps.
 * @throws UserError where the offset leads past T−1
 */
export function spacedTimesteps(
  { schedule, steps, spacing = schedule.config.timestepSpacing }: SamplingOptions,
  { fractional = false } = {},
): number[] {
  const { length } = schedule;
  switch (spacing) {
    case 'leading': {
      const ratio = Math.floor(length / steps);
      return withOffset(
        Array.from({ length: steps }, (_, i) => (steps - 1 - i) * ratio),
        { schedule, steps, spacing },
      );
    }
    case 'linspace':
      return linspace(length - 1, steps)
        .reverse()
        .map(fractional ? Math.fround : roundHalfEven);
    case 'trailing':
      return countDown(length, length / steps, steps).map((t) => roundHalfEven(t) - 1);
  }
}

/**
 * Timesteps of DPM-Solver++: as above, but `leading` and `linspace` cut T into `steps + 1` parts and leave out the last point.
 * @throws UserError where two timesteps coincide
 */
export function solverTimesteps(options: SamplingOptions): number[] {
  const { schedule, steps, spacing = schedule.config.timestepSpacing } = options;
  const { length } = schedule;
  let timesteps: number[];
  switch (spacing) {
    case 'leading': {
      const ratio = Math.floor(length / (steps + 1));
      timesteps = withOffset(
        Array.from({ length: steps }, (_, i) => (steps - i) * ratio),
        { schedule, steps, spacing },
      );
      break;
    }
    case 'linspace':
      timesteps = linspace(length - 1, steps + 1)
        .reverse()
        .slice(0, -1)
        .map(roundHalfEven);
      break;
    case 'trailing':
      timesteps = spacedTimesteps(options);
  }
  const repeated = timesteps.find((t, i) => t === timesteps[i + 1]);
  if (repeated !== undefined) {
    throw new UserError(
      `sampling steps: ${steps} steps with ${spacing} spacing visit timestep ${repeated} twice. Use at most ${length - 1} steps, or trailing spacing.`,
    );
  }
  return timesteps;
}

function withOffset(timesteps: number[], { schedule, steps, spacing }: SamplingOptions): number[] {
  const offset = schedule.config.stepsOffset;
  const shifted = timesteps.map((t) => t + offset);
  if (shifted[0]! >= schedule.length) {
    throw new UserError(
      `sampling steps: ${steps} steps with ${spacing} spacing and the checkpoint's offset ${offset} begin at timestep ${shifted[0]}, past the last one, ${schedule.length - 1}. Use fewer steps, or trailing spacing.`,
    );
  }
  return shifted;
}
