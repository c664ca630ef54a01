import { UserError } from '@sdft/tensor';
import { z } from 'zod';
import { show } from './show.ts';
import { specialTokens } from './specialTokens.ts';
import {
  type ClipTextConfig,
  onlyCrossOf,
  type ScheduleConfig,
  type UNetConfig,
  type VaeConfig,
} from '../config.ts';

const size = z.int().positive();
/** Bounds what a config can make this program list; the largest known encoder has 32 layers. */
const layers = size.max(256);
const sizes = z.array(size).min(1).max(16);
const perBlock = z.union([size, sizes]);
const layersPerBlock = z.union([layers, z.array(layers).min(1).max(16)]);
const number = z.number();
const sampleSize = z
  .union([size, sizes])
  .nullish()
  .transform((v) => (typeof v === 'number' ? v : undefined));
const optional = <T extends z.ZodType>(schema: T) =>
  schema.nullish().transform((v) => v ?? undefined);

/** Settings that would change the network: only the value that changes nothing is accepted. The first value is the one to name. */
const unetFixed: Record<string, readonly unknown[]> = {
  act_fn: ['silu', 'swish'],
  addition_embed_type: [null],
  attention_type: ['default'],
  center_input_sample: [false],
  class_embed_type: [null],
  class_embeddings_concat: [false],
  conv_in_kernel: [3],
  conv_out_kernel: [3],
  cross_attention_norm: [null],
  downsample_padding: [1],
  dropout: [0],
  dual_cross_attention: [false],
  encoder_hid_dim: [null],
  encoder_hid_dim_type: [null],
  mid_block_only_cross_attention: [null, false],
  mid_block_scale_factor: [1],
  mid_block_type: ['UNetMidBlock2DCrossAttn'],
  resnet_out_scale_factor: [1],
  resnet_skip_time_act: [false],
  resnet_time_scale_shift: ['default'],
  reverse_transformer_layers_per_block: [null],
  time_cond_proj_dim: [null],
  time_embedding_act_fn: [null],
  time_embedding_dim: [null],
  time_embedding_type: ['positional'],
  timestep_post_act: [null],
};
const vaeFixed: Record<string, readonly unknown[]> = {
  act_fn: ['silu', 'swish'],
  latents_mean: [null],
  latents_std: [null],
};
const scheduleFixed: Record<string, readonly unknown[]> = { trained_betas: [null] };

const unetFile = z.object({
  sample_size: sampleSize,
  in_channels: size.default(4),
  out_channels: size.default(4),
  block_out_channels: sizes.default([320, 640, 1280, 1280]),
  down_block_types: z
    .array(z.enum(['CrossAttnDownBlock2D', 'DownBlock2D']))
    .default([
      'CrossAttnDownBlock2D',
      'CrossAttnDownBlock2D',
      'CrossAttnDownBlock2D',
      'DownBlock2D',
    ]),
  up_block_types: z
    .array(z.enum(['CrossAttnUpBlock2D', 'UpBlock2D']))
    .default(['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D']),
  layers_per_block: layersPerBlock.default(2),
  transformer_layers_per_block: layersPerBlock.default(1),
  cross_attention_dim: perBlock.default(1280),
  attention_head_dim: perBlock.default(8),
  num_attention_heads: optional(perBlock),
  norm_num_groups: size.default(32),
  norm_eps: number.positive().default(1e-5),
  use_linear_projection: z.boolean().default(false),
  upcast_attention: optional(z.boolean()),
  flip_sin_to_cos: z.boolean().default(true),
  freq_shift: number.default(0),
  num_class_embeds: optional(size),
  only_cross_attention: z.union([z.boolean(), z.array(z.boolean()).min(1).max(16)]).default(false),
});

/**
 * Reads the JSON of a diffusers U-Net config (`unet/config.json`).
 *
 * @param json the parsed file
 * @param where the file's path, for messages
 * @throws UserError naming file, key and value where a setting is malformed, contradicts another, or asks for a network that is not supported
 */
export function parseUNetConfig(json: unknown, where: string): UNetConfig {
  const file = read(unetFile, json, where, unetFixed);
  const channels = file.block_out_channels;
  const blocks = channels.length;
  const each = <T extends number | boolean>(key: string, value: T | T[]): T[] => {
    const list = Array.isArray(value) ? value : channels.map(() => value);
    if (list.length !== blocks) {
      throw refusal(
        where,
        key,
        value,
        `needs one entry for each of the ${blocks} block_out_channels`,
      );
    }
    return list;
  };
  const [crossAttentionDim, ...others] = each('cross_attention_dim', file.cross_attention_dim);
  if (others.some((width) => width !== crossAttentionDim)) {
    throw refusal(
      where,
      'cross_attention_dim',
      file.cross_attention_dim,
      'must be the same for every block',
    );
  }
  for (const key of ['down_block_types', 'up_block_types'] as const) {
    if (file[key].length !== blocks) {
      throw refusal(
        where,
        key,
        file[key],
        `needs one entry for each of the ${blocks} block_out_channels`,
      );
    }
    if (key === 'up_block_types') continue;
    file.down_block_types.forEach((type, i) => {
      const up = file.up_block_types[blocks - 1 - i];
      if ((type === 'DownBlock2D') !== (up === 'UpBlock2D')) {
        throw refusal(
          where,
          'up_block_types',
          file.up_block_types,
          `must mirror down_block_types: ${type} needs its counterpart at place ${blocks - 1 - i}`,
        );
      }
    });
  }
  const config: UNetConfig = {
    ...(file.sample_size !== undefined && { sampleSize: file.sample_size }),
    inChannels: file.in_channels,
    outChannels: file.out_channels,
    blockOutChannels: channels,
    downBlockTypes: file.down_block_types,
    midBlockType: 'UNetMidBlock2DCrossAttn',
    upBlockTypes: file.up_block_types,
    layersPerBlock: each('layers_per_block', file.layers_per_block),
    transformerLayersPerBlock: each(
      'transformer_layers_per_block',
      file.transformer_layers_per_block,
    ),
    crossAttentionDim: crossAttentionDim!,
    // diffusers' `attention_head_dim` is the number of heads: HF unet_2d_condition.py keeps the wrong name on purpose.
    numAttentionHeads: each(
      'attention_head_dim',
      file.num_attention_heads ?? file.attention_head_dim,
    ),
    ...onlyCrossOf(
      each('only_cross_attention', file.only_cross_attention),
      file.down_block_types.map((type) => type === 'CrossAttnDownBlock2D'),
    ),
    ...(file.num_class_embeds !== undefined && { numClassEmbeds: file.num_class_embeds }),
    normNumGroups: file.norm_num_groups,
    normEps: file.norm_eps,
    useLinearProjection: file.use_linear_projection,
    upcastAttention: file.upcast_attention ?? false,
    flipSinToCos: file.flip_sin_to_cos,
    freqShift: file.freq_shift,
    actFn: 'silu',
  };
  checkDivides(
    where,
    'norm_num_groups',
    channels.map(() => config.normNumGroups),
    channels,
  );
  checkDivides(
    where,
    'attention_head_dim (the number of heads)',
    config.numAttentionHeads,
    channels,
  );
  return config;
}

const textFile = z.object({
  vocab_size: size.default(49408),
  hidden_size: size.default(512),
  intermediate_size: size.default(2048),
  num_hidden_layers: layers.default(12),
  num_attention_heads: size.default(8),
  max_position_embeddings: size.default(77),
  hidden_act: z.enum(['quick_gelu', 'gelu']).default('quick_gelu'),
  layer_norm_eps: number.positive().default(1e-5),
  bos_token_id: optional(z.int().min(0)),
  eos_token_id: optional(z.int().min(0)),
  projection_dim: optional(size),
});

/**
 * Reads the JSON of a transformers CLIP text config (`text_encoder/config.json`).
 *
 * Configs written before 2023 say `eos_token_id: 2` although the tokenizer's end token is meant; it is resolved to that, and
 * `bos_token_id: 0` beside it to the start token (transformers `modeling_clip.py` treats 2 the same way).
 *
 * @throws UserError naming file, key and value
 */
export function parseClipTextConfig(json: unknown, where: string): ClipTextConfig {
  const file = read(textFile, json, where, {});
  checkDivides(where, 'num_attention_heads', [file.num_attention_heads], [file.hidden_size]);
  const usual = specialTokens(file.vocab_size);
  const legacy = file.eos_token_id === 2 && file.vocab_size > 3;
  const bos = legacy && (file.bos_token_id ?? 0) === 0 ? usual.bosTokenId : file.bos_token_id;
  const eos = legacy ? usual.eosTokenId : file.eos_token_id;
  for (const [key, id] of [
    ['bos_token_id', bos],
    ['eos_token_id', eos],
  ] as const) {
    if (id !== undefined && id >= file.vocab_size) {
      throw refusal(where, key, id, `must be below vocab_size ${file.vocab_size}`);
    }
  }
  return {
    vocabSize: file.vocab_size,
    hiddenSize: file.hidden_size,
    intermediateSize: file.intermediate_size,
    numHiddenLayers: file.num_hidden_layers,
    numAttentionHeads: file.num_attention_heads,
    maxPositionEmbeddings: file.max_position_embeddings,
    hiddenAct: file.hidden_act,
    layerNormEps: file.layer_norm_eps,
    bosTokenId: bos ?? usual.bosTokenId,
    eosTokenId: eos ?? usual.eosTokenId,
    padTokenId: eos ?? usual.eosTokenId,
    projectionDim: file.projection_dim ?? 512,
  };
}

const vaeFile = z.object({
  sample_size: sampleSize,
  in_channels: size.default(3),
  out_channels: size.default(3),
  latent_channels: size.default(4),
  block_out_channels: sizes.default([64]),
  down_block_types: z.array(z.literal('DownEncoderBlock2D')).default(['DownEncoderBlock2D']),
  up_block_types: z.array(z.literal('UpDecoderBlock2D')).default(['UpDecoderBlock2D']),
  layers_per_block: layers.default(1),
  norm_num_groups: size.default(32),
  scaling_factor: number.positive().default(0.18215),
  shift_factor: optional(number),
  use_quant_conv: z.boolean().default(true),
  use_post_quant_conv: z.boolean().default(true),
  mid_block_add_attention: z.boolean().default(true),
});

/**
 * Reads the JSON of a diffusers `AutoencoderKL` config (`vae/config.json`).
 *
 * @throws UserError naming file, key and value
 */
export function parseVaeConfig(json: unknown, where: string): VaeConfig {
  const file = read(vaeFile, json, where, vaeFixed);
  const channels = file.block_out_channels;
  for (const key of ['down_block_types', 'up_block_types'] as const) {
    if (file[key].length !== channels.length) {
      throw refusal(
        where,
        key,
        file[key],
        `needs one entry for each of the ${channels.length} block_out_channels`,
      );
    }
  }
  checkDivides(
    where,
    'norm_num_groups',
    channels.map(() => file.norm_num_groups),
    channels,
  );
  return {
    ...(file.sample_size !== undefined && { sampleSize: file.sample_size }),
    inChannels: file.in_channels,
    outChannels: file.out_channels,
    latentChannels: file.latent_channels,
    blockOutChannels: channels,
    layersPerBlock: file.layers_per_block,
    normNumGroups: file.norm_num_groups,
    scalingFactor: file.scaling_factor,
    shiftFactor: file.shift_factor ?? 0,
    useQuantConv: file.use_quant_conv,
    usePostQuantConv: file.use_post_quant_conv,
    midBlockAddAttention: file.mid_block_add_attention,
    actFn: 'silu',
  };
}

const scheduleFile = z.object({
  _class_name: optional(z.string()),
  beta_start: number.positive().default(0.0001),
  beta_end: number.positive().default(0.02),
  beta_schedule: z.enum(['scaled_linear', 'linear']).default('linear'),
  num_train_timesteps: size.default(1000),
  prediction_type: z.enum(['epsilon', 'v_prediction']).default('epsilon'),
  timestep_spacing: optional(z.enum(['leading', 'linspace', 'trailing'])),
  steps_offset: optional(z.int().min(0)),
  set_alpha_to_one: optional(z.boolean()),
  rescale_betas_zero_snr: optional(z.boolean()),
});

/**
 * Reads the JSON of a diffusers scheduler config (`scheduler/scheduler_config.json`), whichever scheduler's it is.
 *
 * Where a key is missing its value is that of Stable Diffusion's own DDIM: spacing `leading`, offset 1, `setAlphaToOne` false.
 *
 * @throws UserError naming file, key and value
 */
export function parseScheduleConfig(json: unknown, where: string): ScheduleConfig {
  const file = read(scheduleFile, json, where, scheduleFixed);
  return {
    betaStart: file.beta_start,
    betaEnd: file.beta_end,
    betaSchedule: file.beta_schedule,
    numTrainTimesteps: file.num_train_timesteps,
    predictionType: file.prediction_type,
    timestepSpacing: file.timestep_spacing ?? 'leading',
    stepsOffset: file.steps_offset ?? 1,
    setAlphaToOne: file.set_alpha_to_one ?? false,
    rescaleBetasZeroSnr: file.rescale_betas_zero_snr ?? false,
  };
}

function read<T extends z.ZodType>(
  schema: T,
  json: unknown,
  where: string,
  fixed: Record<string, readonly unknown[]>,
): z.infer<T> {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new UserError(`${where}: a config must be a JSON object`);
  }
  for (const [key, value] of Object.entries(json)) {
    const accepted = fixed[key];
    const same = (v: unknown): boolean => accepted?.includes(v) === true;
    const allSame = Array.isArray(value) && value.length > 0 && value.every(same);
    if (accepted && !same(value) && !allSame) {
      throw refusal(where, key, value, `is not supported; only ${JSON.stringify(accepted[0])} is`);
    }
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const key = issue?.path.join('.') ?? '';
  const value = issue?.path.reduce<unknown>(
    (at, name) => (at as Record<PropertyKey, unknown> | undefined)?.[name],
    json,
  );
  throw refusal(where, key, value, `is not supported: ${issue?.message ?? 'invalid'}`);
}

function refusal(where: string, key: string, value: unknown, why: string): UserError {
  return new UserError(`${where}: ${key} = ${show(value)} ${why}`);
}

function checkDivides(
  where: string,
  key: string,
  divisors: readonly number[],
  widths: readonly number[],
): void {
  divisors.forEach((divisor, i) => {
    if (widths[i]! % divisor !== 0) {
      throw refusal(where, key, divisor, `does not divide the width ${widths[i]}`);
    }
  });
}
