/** @file DreamBooth on an inpainting model as diffusers' script does it (tools/inpainting/make_fixtures.py), and the recipe that must repeat it. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openSafetensors, writeSafetensors } from '@sdft/models/node';
import { adamw, dreamBooth, pipeline } from '../../src/index.ts';
import { pathOf, temporaryFolder } from '../support/fixtures.ts';
import type { RecordedRun } from '../support/recordedRun.ts';

/** fixtures/replay/sd2-base with five more channels in its first layer, as a folder. */
export async function inpaintingBase(): Promise<string> {
  const folder = join(temporaryFolder(), 'inpainting');
  cpSync(pathOf('fixtures/replay/sd2-base'), folder, { recursive: true });
  const config = join(folder, 'unet/config.json');
  const settings = JSON.parse(readFileSync(config, 'utf8')) as object;
  writeFileSync(config, JSON.stringify({ ...settings, in_channels: 9 }));
  const file = 'unet/diffusion_pytorch_model.safetensors';
  const { tensors } = openSafetensors(pathOf(`fixtures/replay/sd2-base/${file}`));
  const wide = openSafetensors(pathOf('fixtures/inpainting/conv_in.safetensors')).tensors;
  await writeSafetensors(
    join(folder, file),
    new Map([...tensors, ['conv_in.weight', wide.get('conv_in')!]]),
    { force: true },
  );
  return folder;
}

export const inpainting: RecordedRun = {
  name: 'under random masks, with prior preservation at half weight',
  folder: 'fixtures/inpainting',
  base: await inpaintingBase(),
  stem: pipeline()
    .method(dreamBooth({ classPrompt: 'a photo of a dog', priorWeight: 0.5 }))
    .optimizer(adamw({ lr: 2e-4, weightDecay: 0.01 })),
};
