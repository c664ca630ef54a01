/**
 * Sizes of a U-Net, resolved: what diffusers' `UNet2DConditionModel` config says, one value per block where a block can
 * have its own. Lists of the up path are not kept: they are the down path's, reversed.
 */
export interface UNetConfig {
  /** Latent size (height = width) the model was trained at, if the file says so. */
  readonly sampleSize?: number;
  readonly inChannels: number;
  readonly outChannels: number;
  /** Channels of each resolution, finest first. The time embedding has 4 times the first. */
  readonly blockOutChannels: readonly number[];
  readonly downBlockTypes: readonly DownBlockType[];
  readonly midBlockType: 'UNetMidBlock2DCrossAttn';
  readonly upBlockTypes: readonly UpBlockType[];
  /** ResNet layers of each down block; the up block of the same resolution has one more. */
  readonly layersPerBlock: readonly number[];
  /** Transformer blocks inside each attention, for each down block; the middle block has the last. */
  readonly transformerLayersPerBlock: readonly number[];
  /** Width of the text states. */
  readonly crossAttentionDim: number;
  /** Heads of each down block's attentions, a head being `blockOutChannels[i] / numAttentionHeads[i]` wide; the middle block has the last. */
  readonly numAttentionHeads: readonly number[];
  /**
   * For each down block, whether the first attention of its transformer blocks looks at the text as the second does, and not at the pixels (the x4 upscaler's large
   * resolutions); the up block of the same resolution does the same, the middle block never. Absent: nowhere.
   */
  readonly onlyCrossAttention?: readonly boolean[];
  /** Rows of a table that is read by class label and added to the time embedding: the levels of noise, of upscaling models. Absent: the model takes no labels. */
  readonly numClassEmbeds?: number;
  readonly normNumGroups: number;
  readonly normEps: number;
  /** True: `proj_in` and `proj_out` are linear (SD2); false: 1x1 convolutions (SD1). */
  readonly useLinearProjection: boolean;
  /** True: the reference computes attention scores in f32 even under half precision (SD2.1). */
  readonly upcastAttention: boolean;
  /** True: cosines before sines in the time embedding. */
  readonly flipSinToCos: boolean;
  readonly freqShift: number;
  readonly actFn: 'silu';
}
/** Where blocks have no attention at all, what a config says of it means nothing. */
export const onlyCrossOf = (
  said: readonly boolean[],
  attends: readonly boolean[],
): Pick<UNetConfig, 'onlyCrossAttention'> => {
  const onlyCrossAttention = said.map((only, i) => only && attends[i]!);
  return onlyCrossAttention.includes(true) ? { onlyCrossAttention } : {};
};

export type DownBlockType = 'CrossAttnDownBlock2D' | 'DownBlock2D';
export type UpBlockType = 'CrossAttnUpBlock2D' | 'UpBlock2D';

/** Sizes of a CLIP text encoder: transformers' `CLIPTextConfig`. */
export interface ClipTextConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly maxPositionEmbeddings: number;
  readonly hiddenAct: 'quick_gelu' | 'gelu';
  readonly layerNormEps: number;
  readonly bosTokenId: number;
  readonly eosTokenId: number;
  /** Fills prompts up: the tokenizer's padding token, where a checkpoint brings one. transformers' configs say 1, which nothing uses. */
  readonly padTokenId: number;
  readonly projectionDim: number;
}

/** Sizes of the image autoencoder: diffusers' `AutoencoderKL`. */
export interface VaeConfig {
  readonly sampleSize?: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly latentChannels: number;
  /** Channels of each resolution, finest first. */
  readonly blockOutChannels: readonly number[];
  /** ResNet layers of each encoder block; a decoder block has one more. */
  readonly layersPerBlock: number;
  readonly normNumGroups: number;
  /** The U-Net works on `(latent - shiftFactor) * scalingFactor`. */
  readonly scalingFactor: number;
  readonly shiftFactor: number;
  readonly useQuantConv: boolean;
  readonly usePostQuantConv: boolean;
  readonly midBlockAddAttention: boolean;
  readonly actFn: 'silu';
}

/** The noise schedule a checkpoint was trained with: what a diffusers scheduler config says about training, and its sampling defaults. */
export interface ScheduleConfig {
  readonly betaStart: number;
  readonly betaEnd: number;
  readonly betaSchedule: 'scaled_linear' | 'linear';
  readonly numTrainTimesteps: number;
  readonly predictionType: 'epsilon' | 'v_prediction';
  readonly timestepSpacing: 'leading' | 'linspace' | 'trailing';
  readonly stepsOffset: number;
  readonly setAlphaToOne: boolean;
  readonly rescaleBetasZeroSnr: boolean;
}

/** Noise schedule of every SD1 and SD2 checkpoint, whose single files do not hold it as settings. Source: CompVis `configs/stable-diffusion/v1-inference.yaml`. */
export const stableDiffusionSchedule: ScheduleConfig = Object.freeze({
  betaStart: 0.00085,
  betaEnd: 0.012,
  betaSchedule: 'scaled_linear',
  numTrainTimesteps: 1000,
  predictionType: 'epsilon',
  timestepSpacing: 'leading',
  stepsOffset: 1,
  setAlphaToOne: false,
  rescaleBetasZeroSnr: false,
});

/** Noise schedule of Stability's x4 upscaler, for latents and for the small picture. Source: Stability `configs/stable-diffusion/x4-upscaling.yaml`. */
export const upscalerSchedule: ScheduleConfig = Object.freeze({
  ...stableDiffusionSchedule,
  betaStart: 0.0001,
  betaEnd: 0.02,
  predictionType: 'v_prediction',
});
