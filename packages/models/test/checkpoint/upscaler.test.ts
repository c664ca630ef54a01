/** @file Upscaling models: what is told by their tensors, and the way to files and back. */
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { architecture } from '../../src/checkpoint/architectures.ts';
import { parseUNetConfig } from '../../src/checkpoint/configFile.ts';
import { unetFile } from '../../src/checkpoint/configWriter.ts';
import { expectedTensors } from '../../src/checkpoint/expectedTensors.ts';
import {
  completeText,
  completeUNet,
  completeVae,
  familySettings,
} from '../../src/checkpoint/family.ts';
import { readFloat32 } from '../../src/checkpoint/floats.ts';
import { inferText, inferUNet, inferVae } from '../../src/checkpoint/infer.ts';
import { unetKeyMap, unetLayoutOf } from '../../src/checkpoint/keys/unetKeys.ts';
import { openCheckpoint } from '../../src/node/openCheckpoint.ts';
import { initCheckpoint, writeLdmFile } from '../../src/node/writeCheckpoint.ts';
import { openSafetensors } from '../../src/node/safetensorsFile.ts';
import { temporaryFolder, userError } from './support.ts';

const folder = temporaryFolder();
const x4 = architecture('x4-upscaler');

describe("Stability's x4 upscaler", () => {
  it('is told by the shapes of its tensors', () => {
    const shapes = new Map(
      [...expectedTensors(x4)].map(([path, shape]) => [path, { shape }] as const),
    );
    const sizes = inferUNet(shapes, 'x');
    expect(sizes).toMatchObject({
      inChannels: 7,
      downBlockTypes: x4.unet.downBlockTypes,
      upBlockTypes: x4.unet.upBlockTypes,
      onlyCrossAttention: [false, true, true, false],
      numClassEmbeds: 1000,
    });
    const { settings, rule } = familySettings(sizes)!;
    expect(rule).toMatch(/x4 upscaler/);
    const { predictionType, schedule } = settings;
    expect(completeUNet(sizes, settings, 'x')).toEqual(x4.unet);
    expect({ ...schedule, predictionType }).toEqual(x4.schedule);
    expect(completeVae(inferVae(shapes, 'x'), settings, 'x')).toMatchObject({
      scalingFactor: 0.08333,
      blockOutChannels: [128, 256, 512],
    });
    expect(completeText(inferText(shapes, 'x'), settings, 'x').hiddenAct).toBe('gelu');
  });

  it('is what its published configuration says', () => {
    // unet/config.json of stabilityai/stable-diffusion-x4-upscaler, keys that differ from the defaults.
    const published = {
      attention_head_dim: 8,
      block_out_channels: [256, 512, 512, 1024],
      class_embed_type: null,
      cross_attention_dim: 1024,
      down_block_types: [
        ...['DownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'],
      ],
      in_channels: 7,
      num_class_embeds: 1000,
      only_cross_attention: [true, true, true, false],
      sample_size: 128,
      up_block_types: [
        ...['CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'UpBlock2D'],
      ],
      use_linear_projection: true,
    };
    expect(parseUNetConfig(published, 'x')).toEqual(x4.unet);
    expect(unetFile(x4.unet)).toMatchObject({ num_class_embeds: 1000, in_channels: 7 });
  });

  it("has CompVis' names in a single file", () => {
    const names = [...expectedTensors({ unet: x4.unet }).keys()].map((path) => path.slice(5));
    const attention = x4.unet.downBlockTypes.map((type) => type === 'CrossAttnDownBlock2D');
    const keys = unetKeyMap({ layersPerBlock: x4.unet.layersPerBlock, attention });
    const ldm = names.map((name) => keys.toLdm(name)!);
    expect(ldm).toContain('label_emb.weight');
    // The tensor by which diffusers tells this model from others (single_file_utils.py).
    expect(ldm).toContain('input_blocks.10.0.skip_connection.bias');
    expect(unetLayoutOf(ldm)).toEqual({ layersPerBlock: [2, 2, 2, 2], attention });
    expect(ldm.map((key) => keys.fromLdm(key))).toEqual(names);
  });
});

describe('a small one', () => {
  const made = join(folder, 'made');
  it('goes to a folder, to a single file and back', async () => {
    await initCheckpoint('upscaler-tiny', 3, made);
    const opened = await openCheckpoint(made);
    const wanted = architecture('upscaler-tiny');
    expect(opened.unet).toEqual(wanted.unet);
    expect(opened.schedule).toEqual(wanted.schedule);
    const index = JSON.parse(readFileSync(join(made, 'model_index.json'), 'utf8')) as object;
    expect(index).toMatchObject({
      _class_name: 'StableDiffusionUpscalePipeline',
      low_res_scheduler: ['diffusers', 'DDPMScheduler'],
    });

    const single = join(folder, 'small.safetensors');
    // Its widths have no rule, so the configurations lie beside it.
    expect(await writeLdmFile(single, opened)).toHaveLength(2);
    const names = [...openSafetensors(single).tensors.keys()];
    expect(names).toContain('model.diffusion_model.label_emb.weight');
    const again = await openCheckpoint(single);
    expect(again.unet).toEqual(opened.unet);
    expect([...again.weights.keys()].sort()).toEqual([...opened.weights.keys()].sort());
    const table = 'unet.class_embedding.weight';
    expect(readFloat32(again.weights.get(table)!)).toEqual(readFloat32(opened.weights.get(table)!));
  });

  it('is refused where small pictures get their noise by another schedule', async () => {
    const { writeFileSync, cpSync } = await import('node:fs');
    const other = join(folder, 'other');
    cpSync(made, other, { recursive: true });
    writeFileSync(
      join(other, 'low_res_scheduler', 'scheduler_config.json'),
      JSON.stringify({ beta_start: 0.00085, beta_end: 0.02, beta_schedule: 'scaled_linear' }),
    );
    expect(await userError(() => openCheckpoint(other))).toMatch(
      /low_res_scheduler has betaStart 0.00085, scheduler 0.0001; only models with one schedule/,
    );
  });
});
