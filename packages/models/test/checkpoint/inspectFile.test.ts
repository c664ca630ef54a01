import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { describe as describeFile } from '../../src/checkpoint/describe.ts';
import { hashFile, inspectFile } from '../../src/node/inspectFile.ts';
import { fixture, golden, json, temporaryFolder, userError } from './support.ts';

const folder = temporaryFolder();
type Manifest = Record<string, { tensors: Record<string, [string, number[], string]> }>;

describe('files', () => {
  test.each([
    ['model-f16.ckpt', 'torch-zip', 'Stable Diffusion 1 checkpoint, one file'],
    ['vae-only-legacy.ckpt', 'torch-legacy', 'VAE'],
  ])('%s: every tensor and checksum of the manifest', async (name, format, what) => {
    const result = await inspectFile(golden(`files/${name}`), { hash: true });
    expect(result).toMatchObject({ format, what });
    const expected = json<Manifest>(golden('files/manifest.json'))[name]!.tensors;
    expect(
      Object.fromEntries(
        Object.entries(result.tensors).map(([key, [dtype, shape, hash]]) => [
          key,
          [dtype, shape, hash!.slice(0, 16)],
        ]),
      ),
    ).toEqual(expected);
    const bytes = readFileSync(golden(`files/${name}`));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(result.hashes).toEqual({
      sha256,
      short: sha256.slice(0, 10),
      legacy: createHash('sha256')
        .update(bytes.subarray(0x100000, 0x110000))
        .digest('hex')
        .slice(0, 8),
    });
  });

  test('without hashes nothing but headers is read', async () => {
    const result = await inspectFile(golden('files/model-f16.ckpt'));
    expect(result.tensors['betas']).toEqual(['F32', [1000]]);
    expect(result.hashes).toBeUndefined();
    expect(result.metadata).toEqual({
      epoch: 1,
      global_step: 1234,
      'pytorch-lightning_version': '1.4.2',
    });
    expect(result.names).toContain('pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint');
  });

  test('safetensors, with types that cannot be loaded', async () => {
    const path = join(folder, 'eight.safetensors');
    const header = JSON.stringify({
      a: { dtype: 'F8_E4M3', shape: [2], data_offsets: [0, 2] },
      __metadata__: { ss_network_dim: '4' },
    });
    const bytes = Buffer.alloc(8 + header.length + 2);
    bytes.writeBigUInt64LE(BigInt(header.length));
    bytes.write(header, 8);
    writeFileSync(path, bytes);
    expect(await inspectFile(path, { hash: true })).toMatchObject({
      format: 'safetensors',
      tensors: { a: ['F8_E4M3', [2], createHash('sha256').update(Buffer.alloc(2)).digest('hex')] },
      metadata: { ss_network_dim: '4' },
    });
  });

  test.each([
    ['train/ti/result.safetensors', 'Textual Inversion embedding, layout of diffusers'],
    ['train/ti_a1111/result.pt', "Textual Inversion embedding, A1111's layout"],
    ['train/ti_a1111/result.pt.optim', 'optimizer state'],
    ['train/hn_linear/result.pt', "hypernetwork, A1111's layout"],
    ['train/lora/result.safetensors', 'LoRA, layout of diffusers or PEFT'],
    ['train/kohya_lora/result.pt', "LoRA, kohya's layout"],
    ['train/ti/replay.safetensors', 'recorded draws of a training run'],
    ['tiny-sd/unet/diffusion_pytorch_model.safetensors', 'U-Net, layout of diffusers'],
    ['tiny-sd/vae/diffusion_pytorch_model.safetensors', 'VAE'],
    ['tiny-sd/text_encoder/model.safetensors', 'CLIP text encoder, layout of transformers'],
  ])('%s is: %s', async (name, what) => {
    expect((await inspectFile(golden(name))).what).toBe(what);
  });

  test.each([
    [['conditioner.embedders.0.x'], 'Stable Diffusion XL checkpoint, one file'],
    [
      [
        'model.diffusion_model.input_blocks.0.0.weight',
        'cond_stage_model.model.x',
        'model_ema.diffusion_modelx',
      ],
      'Stable Diffusion 2 checkpoint, one file, with running averages (EMA)',
    ],
    [['model.diffusion_model.input_blocks.0.0.weight'], 'U-Net in single-file layout'],
    [['lora_unet_x.hada_w1_a'], "LyCORIS weights, kohya's layout"],
    [['control_model.x'], 'ControlNet'],
    [['emb_params'], "Textual Inversion embedding, kohya's layout"],
    [['clip_g', 'clip_l'], 'Textual Inversion embedding for two text encoders'],
    [['x'], 'tensors'],
  ])('%j is: %s', (names, what) => {
    expect(describeFile(names, {})).toBe(what);
  });

  test('a file shorter than the legacy hash reaches', async () => {
    expect((await hashFile(golden('files/overlap.safetensors'))).legacy).toBe('e3b0c442');
  });
});

test('a folder: tensors of every part, its configs', async () => {
  const result = await inspectFile(golden('tiny-sd'), { hash: true });
  expect(result).toMatchObject({
    format: 'diffusers',
    what: 'folder in diffusers layout, StableDiffusionPipeline',
  });
  expect(Object.keys(result.tensors).length).toBe(964);
  expect(result.tensors['unet.conv_in.bias']).toEqual([
    'F32',
    [16],
    expect.stringMatching(/^[0-9a-f]{64}$/),
  ]);
  expect(Object.keys(result.metadata).sort()).toEqual([
    'model_index',
    'scheduler',
    'text_encoder',
    'unet',
    'vae',
  ]);
});

test('refused: malicious, overlapping, foreign, missing', async () => {
  expect(
    await userError(() => inspectFile(golden('files/malicious-sample.ckpt'), { hash: true })),
  ).toContain('refused. It names posix.system');
  expect(await userError(() => inspectFile(golden('files/overlap.safetensors')))).toContain(
    'overlaps',
  );
  expect(await userError(() => inspectFile(golden('README.md')))).toContain(
    'is neither safetensors nor a file that PyTorch saved',
  );
  expect(await userError(() => inspectFile(folder))).toContain('no folder in it holds weights');
  expect(await userError(() => inspectFile(join(folder, 'none')))).toContain('no such file');
  expect(await userError(() => inspectFile(fixture('sd1-odd.json')))).toContain(
    'is neither safetensors nor a file that PyTorch saved',
  );
});
