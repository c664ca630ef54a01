import { totalmem } from 'node:os';
import { describe, expect, it } from 'vitest';
import { checkRoom, thisMachine } from '../../src/node/room.ts';

const plan = (activations: number, state = 1e9) => ({
  weights: 900e9,
  activations,
  state,
  total: 900e9 + activations + state,
});
const recipe = { base: 'nano', batch: 8, recompute: false, data: { images: 'a', resolution: 512 } };
const machine = { total: 16e9, available: 10e9 };

describe('room for a step', () => {
  it('is there, whatever the weights in their files are', () => {
    expect(checkRoom(plan(9e9), recipe, machine)).toBeUndefined();
  });

  it('may have to be made by other programs', () => {
    expect(checkRoom(plan(12e9), recipe, machine)).toMatch(
      /^batch 8: a step needs at least 13.0 GB .*16.0 GB only 10.0 GB are available.*ending other programs, a smaller batch/,
    );
  });

  it('cannot be had', () => {
    const refused =
      (memory: ReturnType<typeof plan>, settings: object = {}) =>
      (message: string | RegExp): void =>
        expect(() => checkRoom(memory, { ...recipe, ...settings }, machine)).toThrow(message);
    refused(plan(20e9))(
      'batch 8: a step needs at least 21.0 GB of memory beside the weights (activations 20.0 GB, training state 1.00 GB), and this machine has 16.0 GB, 10.0 GB of it available; what helps: a smaller batch (accumulate makes up for it), a smaller data.resolution, recompute',
    );
    refused(plan(20e9), { batch: 1 })(/^data.resolution 512: .* helps: a smaller data.resol/);
    refused(plan(2e9, 20e9), { batch: 1, data: undefined, recompute: true })(
      /^base nano: .* helps: a smaller data.resolution, or training less of the model$/,
    );
  });

  it('is measured on this machine', () => {
    const { total, available } = thisMachine();
    expect(total).toBeLessThanOrEqual(totalmem());
    expect(available).toBeGreaterThan(1e8);
    expect(total).toBeGreaterThan(1e8);
  });
});
