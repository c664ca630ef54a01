import { totalmem } from 'node:os';
import { nullBackend } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { describe, expect, it } from 'vitest';
import { AdaptedNetworks } from '../../src/encoding/adaptedNetworks.ts';
import { Executables } from '../../src/encoding/executables.ts';
import { nothing } from '../../src/encoding/graphs.ts';
import { Generator } from '../../src/generation/generator.ts';
import { openBase, openGenerator } from '../../src/index.ts';
import { promptsOf } from '../../src/encoding/prompts.ts';
import { openValidation } from '../../src/node/openValidation.ts';
import {
  checkPictureRoom,
  checkRoom,
  isHeld,
  largestBeside,
  thisMachine,
} from '../../src/node/room.ts';
import { Validator } from '../../src/validation/validator.ts';
import { base, goldens } from '../support/small.ts';

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
    expect(checkRoom(plan(8e9), recipe, undefined, machine)).toBeUndefined();
  });

  it('may have to be made by other programs', () => {
    expect(checkRoom(plan(12e9), recipe, undefined, machine)).toMatch(
      /^batch 8: a run needs at least 13.5 GB .*16.0 GB only 10.0 GB are available.*ending other programs, a smaller batch/,
    );
  });

  it('cannot be had', () => {
    const refused =
      (memory: ReturnType<typeof plan>, settings: object = {}) =>
      (message: string | RegExp): void =>
        expect(() => checkRoom(memory, { ...recipe, ...settings }, undefined, machine)).toThrow(
          message,
        );
    refused(plan(20e9))(
      'batch 8: a run needs at least 21.5 GB of memory beside the weights (activations 20.0 GB, training state 1.00 GB, the program itself 500 MB), and this machine has 16.0 GB, 10.0 GB of it available; what helps: a smaller batch (accumulate makes up for it), a smaller data.resolution, recompute',
    );
    refused(plan(20e9), { batch: 1 })(/^data.resolution 512: .* helps: a smaller data.resol/);
    refused(plan(2e9, 20e9), { batch: 1, data: undefined, recompute: true })(
      /^base nano: .* helps: a smaller data.resolution, or training less of the model$/,
    );
  });

  it('is asked of this machine only where graphs take its memory', async () => {
    const card = { name: 'webgpu', room: () => Promise.resolve('device' as const) } as const;
    const driver = { name: 'webgpu', room: () => Promise.resolve('host' as const) } as const;
    const held = await Promise.all([
      isHeld(card),
      isHeld(driver),
      isHeld(cpu()),
      isHeld(nullBackend),
    ]);
    expect(held).toEqual([false, true, true, false]);
  });

  it('is needed by the largest network beside it, too', async () => {
    const beside = await largestBeside([
      { purpose: 'previews', memory: () => Promise.resolve(plan(2e9)) },
      { purpose: 'the validation loss', memory: () => Promise.resolve(plan(9e9)) },
    ]);
    expect(checkRoom(plan(7e9), recipe, undefined, machine)).toBeUndefined();
    expect(() => checkRoom(plan(7e9), recipe, beside, machine)).toThrow(
      /needs at least 17.5 GB .*, training state 1.00 GB, the validation loss 9.00 GB, the program/,
    );
  });

  it('is planned for the network of the validation loss, as large as the one that runs', async () => {
    const planned = async (resolution: number): Promise<number> => {
      const opened = await openBase(base);
      const held = { images: goldens('train/images'), resolution };
      const set = await openValidation(held, opened, { relativeTo: '' });
      const networks = new AdaptedNetworks(opened, new Executables(nullBackend, 0), nothing);
      const validator = new Validator({
        ...{ networks, set, name: undefined, draws: 8, clipSkip: 1, emphasis: 'original' },
        prompts: promptsOf(opened, [], { longPrompts: 'truncate' }),
      });
      return (await validator.memory()).activations;
    };
    expect((await planned(128)) / (await planned(64))).toBeGreaterThan(3);
  });

  it('is held against a picture, too', async () => {
    const size = { width: 512, height: 768 };
    expect(checkPictureRoom(plan(5e9, 0), size, machine)).toBeUndefined();
    expect(checkPictureRoom(plan(12e9, 0), size, machine)).toMatch(
      /^a picture of 512x768 needs at least 12.0 GB .* only 10.0 GB are available.* ends the program.*smaller size/,
    );
    expect(() => checkPictureRoom(plan(20e9, 0), size, machine)).toThrow(
      /this machine has 16.0 GB/,
    );
    const opened = await openBase(base);
    const generator = new Generator(
      new AdaptedNetworks(opened, new Executables(nullBackend, 0), nothing),
      {},
    );
    const [small, large] = [
      await generator.memory('a', { size: 64 }),
      await generator.memory('a', { size: 256 }),
    ];
    expect(large.activations / small.activations).toBeGreaterThan(8);
    await using drawing = await openGenerator(opened);
    expect(await drawing.room('a', { size: 64 })).toBeUndefined();
  });

  it('is measured on this machine', () => {
    const { total, available } = thisMachine();
    expect(total).toBeLessThanOrEqual(totalmem());
    expect(available).toBeGreaterThan(1e8);
    expect(total).toBeGreaterThan(1e8);
  });
});
