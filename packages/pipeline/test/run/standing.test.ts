/** @file What is trained stands still while it is saved, and is read only when its turn comes. */
import { cpSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import { type Adapter, copyOf } from '../../src/index.ts';
import { Standing } from '../../src/run/standing.ts';
import {
  base,
  pictures,
  reports,
  stem,
  temporaryFolder,
  trained,
  using,
} from '../support/small.ts';

const folder = temporaryFolder();
const gate = () => {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
};

describe('values that somebody reads', () => {
  it('are moved when the reader is done, and read when they stand', async () => {
    const standing = new Standing();
    const said: string[] = [];
    const [first, second] = [gate(), gate()];
    const calls = [
      standing.still(() => first.opened.then(() => said.push('read'))),
      standing.still(() => second.opened.then(() => said.push('read too'))),
      standing.move(async () => said.push('moved')),
      standing.move(async () => said.push('moved again')),
    ];
    second.open();
    await calls[1];
    expect(said).toEqual(['read too']);
    first.open();
    await Promise.all(calls);
    expect(said).toEqual(['read too', 'read', 'moved', 'moved again']);
  });

  it('may be read from inside of a reading, while somebody waits to move them', async () => {
    const standing = new Standing();
    let moving: Promise<unknown> | undefined;
    await standing.still(async () => {
      moving = standing.move(async () => 1);
      expect(await standing.still(async () => 2)).toBe(2);
    });
    expect(await moving).toBe(1);
  });

  it('go on where a reader or a mover fails', async () => {
    const standing = new Standing();
    const fail = async (): Promise<never> => {
      throw new Error('no');
    };
    await expect(standing.still(fail)).rejects.toThrow('no');
    await expect(standing.move(fail)).rejects.toThrow('no');
    expect(await standing.move(async () => 3)).toBe(3);
  });
});

describe('a run', () => {
  it('waits with its next step for what is being saved', async () => {
    const logDir = join(folder, 'saving');
    const state = (step: number) =>
      readFileSync(join(logDir, 'state', String(step), 'state.safetensors'));
    await using(stem.data(pictures).build({ logDir }), async (run) => {
      await reports(run, 2);
      await run.saveState();
      const alone = state(2);
      const now = trained(run);
      const saving = [run.saveState(), run.save(join(folder, 'meanwhile.safetensors'))];
      await reports(run, 1);
      await Promise.all(saving);
      expect(state(2).equals(alone)).toBe(true);
      await run.save(join(folder, 'later.safetensors'));
      expect(await now).not.toEqual(await trained(run));
    });
    await using(stem.data(pictures).build(), async (run) => {
      await reports(run, 2);
      await run.save(join(folder, 'straight.safetensors'));
    });
    const bytes = (name: string) => readFileSync(join(folder, `${name}.safetensors`));
    expect(bytes('meanwhile').equals(bytes('straight'))).toBe(true);
    expect(bytes('later').equals(bytes('straight'))).toBe(false);
  });

  const copying: Adapter = {
    name: 'copying',
    at: 'unet.conv_in',
    init: ({ path, parameters }) => ({ weight: copyOf(`${path}.weight`, parameters['weight']!) }),
    wrap: (layer, parameters) => layer.with(parameters),
  };

  it('reads copies of the base only when it begins', async () => {
    const model = join(folder, 'model');
    cpSync(base, model, { recursive: true });
    await using(stem.model(model).adapter(copying).data(pictures).build(), async (run) => {
      rmSync(join(model, 'unet', 'diffusion_pytorch_model.safetensors'));
      const [error] = await Promise.allSettled([run.trainables()]);
      expect(error).toMatchObject({
        reason: expect.any(UserError) as object,
        status: 'rejected',
      });
    });
  });

  it.each([
    ['unet.conv_in.bias', /float32 \[\d+\], float32 \[\d+, 4, 3, 3\] was announced/],
    ['unet.conv_off.weight', /has no tensor unet.conv_off.weight/],
  ])('is refused at once where %s cannot be copied', async (path, message) => {
    const wrong: Adapter = {
      ...copying,
      init: ({ parameters }) => ({ weight: copyOf(path, parameters['weight']!) }),
    };
    await expect(stem.adapter(wrong).data(pictures).build()).rejects.toThrow(message);
  });
});
