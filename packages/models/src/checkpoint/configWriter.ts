import type { ClipTextConfig, ScheduleConfig, UNetConfig, VaeConfig } from '../config.ts';
import type { FloatType } from './floats.ts';

/** What a diffusers or transformers config file holds. */
export type ConfigFile = Readonly<Record<string, unknown>>;

/** The first version of diffusers that knows every key written here. */
const version = { _diffusers_version: '0.24.0' };

/** One value where all are equal, as most configs have it. */
function one<T>(list: readonly T[]): T | readonly T[] {
  return list.every((value) => value === list[0]) ? list[0]! : list;
}

/** A U-Net's `config.json`. */
export function unetFile(config: UNetConfig): ConfigFile {
  return {
    _class_name: 'UNet2DConditionModel',
    ...version,
    act_fn: config.actFn,
    attention_head_dim: one(config.numAttentionHeads),
    block_out_channels: config.blockOutChannels,
    center_input_sample: false,
    cross_attention_dim: config.crossAttentionDim,
    down_block_types: config.downBlockTypes,
    downsample_padding: 1,
    flip_sin_to_cos: config.flipSinToCos,
    freq_shift: config.freqShift,
    in_channels: config.inChannels,
    layers_per_block: one(config.layersPerBlock),
    mid_block_scale_factor: 1,
    mid_block_type: config.midBlockType,
    norm_eps: config.normEps,
    norm_num_groups: config.normNumGroups,
    num_class_embeds: config.numClassEmbeds ?? null,
    only_cross_attention: config.onlyCrossAttention ? one(config.onlyCrossAttention) : false,
    out_channels: config.outChannels,
    sample_size: config.sampleSize ?? null,
    transformer_layers_per_block: one(config.transformerLayersPerBlock),
    up_block_types: config.upBlockTypes,
    upcast_attention: config.upcastAttention,
    use_linear_projection: config.useLinearProjection,
  };
}

/** A VAE's `config.json`. */
export function vaeFile(config: VaeConfig): ConfigFile {
  return {
    _class_name: 'AutoencoderKL',
    ...version,
    act_fn: config.actFn,
    block_out_channels: config.blockOutChannels,
    down_block_types: config.blockOutChannels.map(() => 'DownEncoderBlock2D'),
    in_channels: config.inChannels,
    latent_channels: config.latentChannels,
    layers_per_block: config.layersPerBlock,
    mid_block_add_attention: config.midBlockAddAttention,
    norm_num_groups: config.normNumGroups,
    out_channels: config.outChannels,
    ...(config.sampleSize !== undefined && { sample_size: config.sampleSize }),
    scaling_factor: config.scalingFactor,
    shift_factor: config.shiftFactor === 0 ? null : config.shiftFactor,
    up_block_types: config.blockOutChannels.map(() => 'UpDecoderBlock2D'),
    use_post_quant_conv: config.usePostQuantConv,
    use_quant_conv: config.useQuantConv,
  };
}

/** A text encoder's `config.json`. */
export function clipTextFile(config: ClipTextConfig, dtype: FloatType): ConfigFile {
  return {
    architectures: ['CLIPTextModel'],
    attention_dropout: 0,
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenId,
    hidden_act: config.hiddenAct,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    layer_norm_eps: config.layerNormEps,
    max_position_embeddings: config.maxPositionEmbeddings,
    model_type: 'clip_text_model',
    num_attention_heads: config.numAttentionHeads,
    num_hidden_layers: config.numHiddenLayers,
    pad_token_id: config.padTokenId,
    projection_dim: config.projectionDim,
    torch_dtype: { f32: 'float32', f16: 'float16', bf16: 'bfloat16' }[dtype],
    vocab_size: config.vocabSize,
  };
}

/** A `scheduler_config.json`: a DDIM scheduler, the one class that holds every setting kept here. */
export function scheduleFile(config: ScheduleConfig): ConfigFile {
  return {
    _class_name: 'DDIMScheduler',
    ...version,
    beta_end: config.betaEnd,
    beta_schedule: config.betaSchedule,
    beta_start: config.betaStart,
    clip_sample: false,
    num_train_timesteps: config.numTrainTimesteps,
    prediction_type: config.predictionType,
    rescale_betas_zero_snr: config.rescaleBetasZeroSnr,
    set_alpha_to_one: config.setAlphaToOne,
    steps_offset: config.stepsOffset,
    timestep_spacing: config.timestepSpacing,
    trained_betas: null,
  };
}

/** `low_res_scheduler/scheduler_config.json` of an upscaling model: the schedule by which small pictures get their noise. */
export function lowResScheduleFile(config: ScheduleConfig): ConfigFile {
  return {
    _class_name: 'DDPMScheduler',
    ...version,
    beta_end: config.betaEnd,
    beta_schedule: config.betaSchedule,
    beta_start: config.betaStart,
    clip_sample: true,
    num_train_timesteps: config.numTrainTimesteps,
    trained_betas: null,
  };
}

/** `model_index.json`: which class is in which folder. */
export function modelIndexFile(hasTokenizer: boolean, upscaling: boolean): ConfigFile {
  return {
    _class_name: upscaling ? 'StableDiffusionUpscalePipeline' : 'StableDiffusionPipeline',
    ...version,
    feature_extractor: [null, null],
    ...(upscaling
      ? {
          low_res_scheduler: ['diffusers', 'DDPMScheduler'],
          max_noise_level: 350,
          watermarker: [null, null],
        }
      : { requires_safety_checker: false }),
    safety_checker: [null, null],
    scheduler: ['diffusers', 'DDIMScheduler'],
    text_encoder: ['transformers', 'CLIPTextModel'],
    tokenizer: hasTokenizer ? ['transformers', 'CLIPTokenizer'] : [null, null],
    unet: ['diffusers', 'UNet2DConditionModel'],
    vae: ['diffusers', 'AutoencoderKL'],
  };
}
