import { describe, expect, it } from 'vitest';
import { learningRate, piecewise, type ScheduleName, scheduledNumber } from '../src/index.ts';
import { fixture } from './fixtures.ts';

const { lr, cases } = fixture<{
  lr: number;
  cases: Record<
    string,
    {
      settings: {
        name: string;
        num_warmup_steps?: number;
        num_training_steps?: number;
        num_cycles?: number;
        power?: number;
      };
      rates: number[];
    }
  >;
}>('schedules');
const names: Record<string, ScheduleName> = {
  constant_with_warmup: 'constant',
  cosine_with_restarts: 'cosine-restarts',
};

describe("diffusers' schedules", () => {
  it.each(Object.entries(cases))('%s', (_, { settings, rates }) => {
    const schedule = learningRate({
      lr,
      name: names[settings.name] ?? (settings.name as ScheduleName),
      warmup: settings.num_warmup_steps,
      steps: settings.num_training_steps,
      cycles: settings.num_cycles,
      power: settings.power,
    });
    rates.forEach((rate, step) => {
      expect(Math.abs(schedule.at(step) - rate)).toBeLessThanOrEqual(1e-15);
    });
    expect(schedule.end).toBeUndefined();
  });

  it('a warm-up starts at rate 0', () => {
    expect(learningRate({ lr: 1, warmup: 4 }).at(0)).toBe(0);
  });

  it.each([
    [{ lr: 0 }, /learning rate must be a positive number/],
    [{ lr: 'fast' }, /learning rate "fast": "fast" is no positive number/],
    [{ lr: 1, name: 'cosine' as const }, /schedule cosine needs to know how many steps/],
    [{ lr: 1, warmup: 1.5 }, /warmup must be a whole number/],
    [
      { lr: '1:5, 2', name: 'linear' as const, steps: 9 },
      /a schedule of their own; give one number to use linear/,
    ],
    [{ lr: '1:5, 2', warmup: 3 }, /to use a warm-up/],
    [{ lr: 1e-8, name: 'polynomial' as const, steps: 9 }, /must be smaller/],
  ])('%o is refused', (options, message) => {
    expect(() => learningRate(options)).toThrow(
      expect.objectContaining({ name: 'UserError', message: expect.stringMatching(message) }),
    );
  });
});

describe("A1111's text of rates", () => {
  const rates = fixture<{ cases: { text: string; steps: number; rates: number[] }[] }>(
    'learn_schedule',
  ).cases;

  it.each(rates)('"$text" over $steps steps', ({ text, steps, rates: expected }) => {
    const schedule = piecewise('learning rate', text, steps);
    const ends = schedule.end ?? Number.POSITIVE_INFINITY;
    // A1111's loop asks one step more than it trains.
    expect(Math.min(ends, steps + 1)).toBe(expected.length);
    expect(expected.map((_, step) => schedule.at(step))).toEqual(expected);
  });

  it('without a length of the run the last number stays, and a last step ends it', () => {
    expect(piecewise('rate', '1:2, 3').end).toBeUndefined();
    expect(piecewise('rate', '1:2, 3:9').end).toBe(9);
    expect(scheduledNumber('clip', '1:2, 3:9').end).toBeUndefined();
    expect(scheduledNumber('clip', '1:2, 3:9').at(50)).toBe(3);
  });

  it.each([
    ['', /no number in it is ever used/],
    ['1:0', /no number in it is ever used/],
    ['abc', /"abc" is no positive number/],
    ['1:2.5', /"2.5" is no step/],
    ['0.1:5, -1', /"-1" is no positive number/],
    ['1:', /"" is no step/],
    // What would never be reached.
    ['1, fast', /"fast" is no positive number/],
    ['1:-1, 2:x', /"x" is no step/],
    ['1:5, 2:3:x', /"x" is no step/],
    ['1:1e9, fast', /"fast" is no positive number/],
  ])('"%s" is refused', (text, message) => {
    expect(() => piecewise('learning rate', text)).toThrow(
      expect.objectContaining({ name: 'UserError', message: expect.stringMatching(message) }),
    );
  });
});
