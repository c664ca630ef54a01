import { describe, expect, test } from 'vitest';
import { architecture, architectureNames } from '../../src/checkpoint/architectures.ts';
import {
  parseClipTextConfig,
  parseScheduleConfig,
  parseUNetConfig,
  parseVaeConfig,
} from '../../src/checkpoint/configFile.ts';
import {
  clipTextFile,
  scheduleFile,
  unetFile,
  vaeFile,
} from '../../src/checkpoint/configWriter.ts';
import { parseLdmConfig } from '../../src/checkpoint/ldmConfig.ts';
import { golden, json, userError } from './support.ts';

const at = 'unet/config.json';
const tiny = json<Record<string, unknown>>(golden('tiny-sd/unet/config.json'));

describe('U-Net', () => {
  test('the golden model', () => {
    expect(parseUNetConfig(tiny, at)).toEqual(architecture('tiny').unet);
  });
  test("defaults are the class's own", () => {
    expect(parseUNetConfig({}, at)).toMatchObject({
      blockOutChannels: [320, 640, 1280, 1280],
      crossAttentionDim: 1280,
      numAttentionHeads: [8, 8, 8, 8],
      layersPerBlock: [2, 2, 2, 2],
      normNumGroups: 32,
    });
  });
  test('lists: one value for each block; attention_head_dim is the number of heads', () => {
    const config = parseUNetConfig(
      {
        ...tiny,
        block_out_channels: [320, 640, 1280, 1280],
        attention_head_dim: [5, 10, 20, 20],
        layers_per_block: [1, 2, 3, 4],
        transformer_layers_per_block: [1, 2, 10, 10],
        cross_attention_dim: [768, 768, 768, 768],
        norm_num_groups: 32,
        only_cross_attention: [false, false, false, false],
      },
      at,
    );
    expect(config).toMatchObject({
      numAttentionHeads: [5, 10, 20, 20],
      layersPerBlock: [1, 2, 3, 4],
      transformerLayersPerBlock: [1, 2, 10, 10],
      crossAttentionDim: 768,
    });
    expect(parseUNetConfig({ ...tiny, num_attention_heads: 4 }, at).numAttentionHeads).toEqual([
      4, 4, 4, 4,
    ]);
  });
  test.each<[Record<string, unknown>, string]>([
    [
      { class_embed_type: 'timestep' },
      'class_embed_type = "timestep" is not supported; only null is',
    ],
    [{ addition_embed_type: 'text_time' }, 'addition_embed_type = "text_time" is not supported'],
    [
      { resnet_time_scale_shift: 'scale_shift' },
      'resnet_time_scale_shift = "scale_shift" is not supported; only "default" is',
    ],
    [{ num_class_embeds: 0 }, 'num_class_embeds = 0'],
    [{ act_fn: 'gelu' }, 'act_fn = "gelu"'],
    [
      { only_cross_attention: [true, false] },
      'only_cross_attention = [true,false] needs one entry for each of the 4',
    ],
    [{ mid_block_type: null }, 'mid_block_type = null'],
    [
      { down_block_types: ['AttnDownBlock2D', 'DownBlock2D'] },
      'down_block_types.0 = "AttnDownBlock2D"',
    ],
    [
      { down_block_types: ['DownBlock2D'] },
      'down_block_types = ["DownBlock2D"] needs one entry for each of the 4',
    ],
    [
      {
        up_block_types: [
          'CrossAttnUpBlock2D',
          'CrossAttnUpBlock2D',
          'CrossAttnUpBlock2D',
          'CrossAttnUpBlock2D',
        ],
      },
      'must mirror down_block_types',
    ],
    [{ layers_per_block: [1] }, 'layers_per_block = [1] needs one entry'],
    [{ layers_per_block: 1e9 }, 'layers_per_block = 1000000000'],
    [{ cross_attention_dim: [1, 1, 1, 2] }, 'must be the same for every block'],
    [
      { attention_head_dim: 5 },
      'attention_head_dim (the number of heads) = 5 does not divide the width 16',
    ],
    [{ norm_num_groups: null }, 'norm_num_groups = null'],
    [{ norm_num_groups: 7 }, 'norm_num_groups = 7 does not divide the width 16'],
    [{ in_channels: -4 }, 'in_channels = -4'],
    [{ block_out_channels: 'wide' }, 'block_out_channels = "wide"'],
    [{ block_out_channels: Array(1000).fill(16) }, 'block_out_channels'],
  ])('%j', async (change, message) => {
    const said = await userError(() => parseUNetConfig({ ...tiny, ...change }, at));
    expect(said).toContain(`${at}: `);
    expect(said).toContain(message);
  });
  test.each([null, [], 1, 'x'])('%j is no config', async (value) => {
    expect(await userError(() => parseUNetConfig(value, at))).toContain('must be a JSON object');
  });
});

describe('text encoder', () => {
  test('the golden model', () => {
    expect(parseClipTextConfig(json(golden('tiny-sd/text_encoder/config.json')), 'x')).toEqual(
      architecture('tiny').textEncoder,
    );
  });
  test('special tokens of configs before 2023, and of vocabularies that grew', () => {
    const old = { vocab_size: 49408, bos_token_id: 0, eos_token_id: 2, pad_token_id: 1 };
    expect(parseClipTextConfig(old, 'x')).toMatchObject({
      bosTokenId: 49406,
      eosTokenId: 49407,
      padTokenId: 49407,
    });
    expect(parseClipTextConfig({ ...old, vocab_size: 49500 }, 'x')).toMatchObject({
      bosTokenId: 49406,
      eosTokenId: 49407,
    });
    expect(parseClipTextConfig({ vocab_size: 50, hidden_size: 8 }, 'x')).toMatchObject({
      bosTokenId: 48,
      eosTokenId: 49,
    });
  });
  test.each<[Record<string, unknown>, string]>([
    [{ hidden_act: 'relu' }, 'hidden_act = "relu"'],
    [
      { hidden_size: 10, num_attention_heads: 3 },
      'num_attention_heads = 3 does not divide the width 10',
    ],
    [{ eos_token_id: 60000 }, 'eos_token_id = 60000 must be below vocab_size 49408'],
    [{ num_hidden_layers: 1e6 }, 'num_hidden_layers = 1000000'],
  ])('%j', async (change, message) => {
    expect(await userError(() => parseClipTextConfig(change, 'x'))).toContain(`x: ${message}`);
  });
});

describe('VAE', () => {
  test('the golden model', () => {
    expect(parseVaeConfig(json(golden('tiny-sd/vae/config.json')), 'x')).toMatchObject({
      ...architecture('tiny').vae,
      sampleSize: 64,
    });
  });
  test.each<[Record<string, unknown>, string]>([
    [{ latents_mean: [0] }, 'latents_mean = [0]'],
    [
      { down_block_types: ['AttnDownEncoderBlock2D'] },
      'down_block_types.0 = "AttnDownEncoderBlock2D"',
    ],
    [
      { block_out_channels: [64, 64] },
      'down_block_types = ["DownEncoderBlock2D"] needs one entry for each of the 2',
    ],
    [{ norm_num_groups: 30 }, 'norm_num_groups = 30 does not divide the width 64'],
  ])('%j', async (change, message) => {
    expect(await userError(() => parseVaeConfig(change, 'x'))).toContain(message);
  });
});

describe('schedule', () => {
  test('the golden model', () => {
    expect(
      parseScheduleConfig(json(golden('tiny-sd/scheduler/scheduler_config.json')), 'x'),
    ).toEqual(architecture('tiny').schedule);
  });
  test.each<[Record<string, unknown>, string]>([
    [{ prediction_type: 'sample' }, 'prediction_type = "sample"'],
    [{ trained_betas: [0.1] }, 'trained_betas = [0.1]'],
    [{ beta_schedule: 'squaredcos_cap_v2' }, 'beta_schedule = "squaredcos_cap_v2"'],
  ])('%j', async (change, message) => {
    expect(await userError(() => parseScheduleConfig(change, 'x'))).toContain(`x: ${message}`);
  });
});

test.each(architectureNames)('what is written for %s is read back the same', (name) => {
  const configs = architecture(name);
  const back = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
  expect(parseUNetConfig(back(unetFile(configs.unet)), 'x')).toEqual(configs.unet);
  expect(parseVaeConfig(back(vaeFile(configs.vae)), 'x')).toEqual(configs.vae);
  expect(parseScheduleConfig(back(scheduleFile(configs.schedule)), 'x')).toEqual(configs.schedule);
  // The padding token is the tokenizer's to say.
  expect({
    ...parseClipTextConfig(back(clipTextFile(configs.textEncoder, 'f32')), 'x'),
    padTokenId: 0,
  }).toEqual({ ...configs.textEncoder, padTokenId: 0 });
});

test('an architecture that is not known', async () => {
  expect(await userError(() => architecture('constructor'))).toContain(
    'constructor is not known; sd15, sd21, tiny, x4-upscaler, upscaler-tiny are',
  );
});

describe('ldm configs', () => {
  const config = (
    unet: object,
    params: object = {},
    text = 'ldm.modules.encoders.modules.FrozenCLIPEmbedder',
  ): unknown => ({
    model: {
      params: {
        unet_config: { params: unet },
        cond_stage_config: { target: text, params: { layer: 'penultimate' } },
        ...params,
      },
    },
  });
  test('heads by number or by size, prediction type, activation', () => {
    expect(parseLdmConfig(config({ num_heads: 8, context_dim: 768 }), 'x', 768)).toMatchObject({
      unetHeads: { count: 8 },
      hiddenAct: 'quick_gelu',
      predictionType: 'epsilon',
      padding: 'end',
      scalingFactor: 0.18215,
    });
    expect(
      parseLdmConfig(
        config(
          { num_head_channels: 64 },
          { parameterization: 'v', linear_start: 0.001, timesteps: 500 },
          'ldm.modules.encoders.modules.FrozenOpenCLIPEmbedder',
        ),
        'x',
        1024,
      ),
    ).toMatchObject({
      unetHeads: { size: 64 },
      hiddenAct: 'gelu',
      predictionType: 'v_prediction',
      padding: 'zero',
      schedule: { betaStart: 0.001, betaEnd: 0.012, numTrainTimesteps: 500 },
    });
  });
  test.each<[string, unknown, string]>([
    ['something else', { a: 1 }, 'x: model: '],
    [
      'another width',
      config({ num_heads: 8, context_dim: 768 }),
      'context_dim = 768, the checkpoint has 1024',
    ],
    ['no heads', config({}), 'needs num_heads or num_head_channels'],
    [
      'another text encoder',
      config({ num_heads: 8 }, {}, 'ldm.modules.encoders.modules.BERTEmbedder'),
      'BERTEmbedder is not supported',
    ],
  ])('%s', async (_, yaml, message) => {
    expect(await userError(() => parseLdmConfig(yaml, 'x', 1024))).toContain(message);
  });
});
