/** @file Numbers that change over a run, evaluated on the host for each optimizer step. */
import { UserError } from '@sdft/tensor';
import { piecewise } from './piecewise.ts';

/** A number at each optimizer step. */
export interface Schedule {
  /** The number used at step 0, 1, 2, ... */
  at(step: number): number;
  /** Training ends before this step: A1111's rates can run out. */
  readonly end?: number | undefined;
}

/** A positive number, or A1111's text of numbers and steps. */
export type ScheduledNumber = number | string;

/** How the learning rate moves. The names are diffusers' (`get_scheduler`), with dashes. */
export interface ScheduleOptions {
  /** Default `constant`. */
  readonly name?: ScheduleName | undefined;
  /** Optimizer steps over which the rate rises linearly from 0; the first step of a warm-up changes nothing. Default 0. */
  readonly warmup?: number | undefined;
  /** `cosine`: periods, default 0.5 (down once). `cosine-restarts`: restarts, default 1. */
  readonly cycles?: number | undefined;
  /** `polynomial`: the exponent. Default 1. */
  readonly power?: number | undefined;
  /** `polynomial`: the last rate. Default 1e-7. */
  readonly end?: number | undefined;
}
export const scheduleNames = [
  'constant',
  'linear',
  'cosine',
  'cosine-restarts',
  'polynomial',
] as const;
export type ScheduleName = (typeof scheduleNames)[number];

export interface LearningRateOptions extends ScheduleOptions {
  /** The rate that the schedule multiplies; or A1111's text of rates and steps, or an optimizer's own rates, which are schedules of their own. */
  readonly lr: ScheduledNumber | Schedule;
  /** Optimizer steps of the whole run. All schedules but `constant` need it. */
  readonly steps?: number | undefined;
}

/**
 * The learning rate at each optimizer step, as diffusers' `get_scheduler` has it (`optimization.py`). With a warm-up, `constant` is its `constant_with_warmup`.
 *
 * @throws UserError where a setting is out of range, the schedule needs `steps`, or rates with a schedule of their own meet another
 */
export function learningRate(options: LearningRateOptions): Schedule {
  const { lr, steps, name = 'constant', warmup = 0 } = options;
  if (!Number.isInteger(warmup) || warmup < 0)
    throw new UserError(
      `schedule: warmup must be a whole number of steps, 0 or more, got ${warmup}`,
    );
  if (typeof lr === 'object' || (typeof lr === 'string' && !isNumeric(lr))) {
    const rates =
      typeof lr === 'object' ? 'the rates of an optimizer without lr' : `the rates "${lr}"`;
    if (name !== 'constant' || warmup > 0)
      throw new UserError(
        `schedule: ${rates} are a schedule of their own; give one number to use ${name === 'constant' ? 'a warm-up' : name}`,
      );
    return typeof lr === 'object' ? lr : piecewise('learning rate', lr, steps);
  }
  const base = positive('learning rate', Number(lr));
  const factor = factorOf(options, base);
  return {
    at: (step) => base * (step < warmup ? step / Math.max(1, warmup) : factor(step)),
  };
}

/**
 * A number, or A1111's text of numbers and steps, whose last one stays.
 *
 * @throws UserError for anything else
 */
export function scheduledNumber(what: string, value: ScheduledNumber): Schedule {
  if (typeof value === 'string' && !isNumeric(value)) {
    const { at } = piecewise(what, value);
    return { at };
  }
  const number = positive(what, Number(value));
  return { at: () => number };
}

const isNumeric = (text: string): boolean => text.trim() !== '' && Number.isFinite(Number(text));

function positive(what: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw new UserError(
    `${what} must be a positive number, or text such as "5e-3:100, 1e-3:1000, 1e-5", got ${value}`,
  );
}

/** What the base rate is multiplied with after the warm-up. */
function factorOf(
  { name = 'constant', warmup = 0, steps, cycles, power = 1, end = 1e-7 }: LearningRateOptions,
  base: number,
): (step: number) => number {
  if (name === 'constant') return () => 1;
  if (!scheduleNames.includes(name))
    throw new UserError(`schedule "${name}" is unknown. Known: ${scheduleNames.join(', ')}.`);
  if (steps === undefined)
    throw new UserError(
      `schedule ${name} needs to know how many steps the run has; say steps, or use constant`,
    );
  const rest = Math.max(1, steps - warmup);
  const progress = (step: number) => (step - warmup) / rest;
  switch (name) {
    case 'linear':
      return (step) => Math.max(0, (steps - step) / rest);
    case 'cosine':
      return (step) =>
        Math.max(0, 0.5 * (1 + Math.cos(Math.PI * (cycles ?? 0.5) * 2 * progress(step))));
    case 'cosine-restarts':
      return (step) =>
        progress(step) >= 1
          ? 0
          : Math.max(0, 0.5 * (1 + Math.cos(Math.PI * (((cycles ?? 1) * progress(step)) % 1))));
    case 'polynomial': {
      if (!(base > end))
        throw new UserError(
          `schedule polynomial falls from the learning rate ${base} to its end ${end}, which must be smaller`,
        );
      return (step) =>
        step > steps
          ? end / base
          : ((base - end) * (1 - (step - warmup) / (steps - warmup)) ** power + end) / base;
    }
  }
}
