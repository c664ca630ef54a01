import { UserError } from '@sdft/tensor';
import { stableDiffusionSchedule, upscalerSchedule } from '../config.ts';
import type { ModelConfigs } from './family.ts';

/** Sizes that differ between the known architectures. */
interface Sizes {
  readonly channels: readonly number[];
  readonly context: number;
  readonly heads: readonly number[];
  readonly groups: number;
  readonly text: {
    readonly layers: number;
    readonly heads: number;
    readonly act: 'quick_gelu' | 'gelu';
    readonly projection: number;
  };
  readonly vae: readonly number[];
  readonly vaeGroups: number;
  readonly linearProjection: boolean;
  readonly upcastAttention: boolean;
  readonly sampleSize: number;
  readonly predictionType: 'epsilon' | 'v_prediction';
  readonly padTokenId: number;
  /** Whether it enlarges small pictures: their channels and levels of noise come in, and the first block has no attention, not the last. */
  readonly upscaler?: true;
}

const sd15: Sizes = {
  channels: [320, 640, 1280, 1280],
  context: 768,
  heads: [8, 8, 8, 8],
  groups: 32,
  text: { layers: 12, heads: 12, act: 'quick_gelu', projection: 768 },
  vae: [128, 256, 512, 512],
  vaeGroups: 32,
  linearProjection: false,
  upcastAttention: false,
  sampleSize: 64,
  predictionType: 'epsilon',
  padTokenId: 49407,
};

const x4Upscaler: Sizes = {
  ...sd15,
  channels: [256, 512, 512, 1024],
  context: 1024,
  heads: [8, 8, 8, 8],
  text: { layers: 23, heads: 16, act: 'gelu', projection: 512 },
  vae: [128, 256, 512],
  linearProjection: true,
  sampleSize: 128,
  predictionType: 'v_prediction',
  padTokenId: 0,
  upscaler: true,
};

const architectures: Readonly<Record<string, ModelConfigs>> = {
  sd15: configsOf(sd15),
  sd21: configsOf({
    ...sd15,
    context: 1024,
    heads: [5, 10, 20, 20],
    text: { layers: 23, heads: 16, act: 'gelu', projection: 512 },
    linearProjection: true,
    upcastAttention: true,
    sampleSize: 96,
    predictionType: 'v_prediction',
    padTokenId: 0,
  }),
  tiny: configsOf({
    ...sd15,
    channels: [16, 16, 32, 32],
    context: 12,
    groups: 8,
    text: { layers: 2, heads: 2, act: 'quick_gelu', projection: 12 },
    vae: [8, 16, 16, 16],
    vaeGroups: 8,
    sampleSize: 8,
  }),
  'x4-upscaler': configsOf(x4Upscaler),
  'upscaler-tiny': configsOf({
    ...x4Upscaler,
    channels: [16, 16, 32, 32],
    context: 12,
    groups: 8,
    heads: [4, 4, 4, 4],
    text: { layers: 2, heads: 2, act: 'gelu', projection: 12 },
    vae: [8, 16, 16],
    vaeGroups: 8,
    sampleSize: 8,
  }),
};

/** Names of the architectures that `architecture` knows. */
export const architectureNames: readonly string[] = Object.freeze(Object.keys(architectures));

/**
 * The configurations of a known architecture: `sd15` (Stable Diffusion 1.5), `sd21` (2.1 at 768 pixels), `x4-upscaler` (Stability's, of 2.x), and `tiny` and
 * `upscaler-tiny` (the shapes of SD1 and of the upscaler at a hundredth of their width, with CLIP's vocabulary, for tests).
 *
 * @throws UserError for a name that is not known
 */
export function architecture(name: string): ModelConfigs {
  const configs = Object.hasOwn(architectures, name) ? architectures[name] : undefined;
  if (!configs)
    throw new UserError(
      `the architecture ${name} is not known; ${architectureNames.join(', ')} are`,
    );
  return configs;
}

function configsOf(sizes: Sizes): ModelConfigs {
  const { channels, context, text, upscaler = false } = sizes;
  const plain = upscaler ? 0 : channels.length - 1;
  const configs: ModelConfigs = {
    unet: {
      sampleSize: sizes.sampleSize,
      inChannels: upscaler ? 7 : 4,
      outChannels: 4,
      blockOutChannels: channels,
      downBlockTypes: channels.map((_, i) =>
        i === plain ? 'DownBlock2D' : 'CrossAttnDownBlock2D',
      ),
      midBlockType: 'UNetMidBlock2DCrossAttn',
      upBlockTypes: channels.map((_, i) =>
        i === channels.length - 1 - plain ? 'UpBlock2D' : 'CrossAttnUpBlock2D',
      ),
      layersPerBlock: channels.map(() => 2),
      transformerLayersPerBlock: channels.map(() => 1),
      crossAttentionDim: context,
      numAttentionHeads: sizes.heads,
      ...(upscaler && {
        onlyCrossAttention: channels.map((_, i) => i > 0 && i < channels.length - 1),
        numClassEmbeds: 1000,
      }),
      normNumGroups: sizes.groups,
      normEps: 1e-5,
      useLinearProjection: sizes.linearProjection,
      upcastAttention: sizes.upcastAttention,
      flipSinToCos: true,
      freqShift: 0,
      actFn: 'silu',
    },
    textEncoder: {
      vocabSize: 49408,
      hiddenSize: context,
      intermediateSize: 4 * context,
      numHiddenLayers: text.layers,
      numAttentionHeads: text.heads,
      maxPositionEmbeddings: 77,
      hiddenAct: text.act,
      layerNormEps: 1e-5,
      bosTokenId: 49406,
      eosTokenId: 49407,
      padTokenId: sizes.padTokenId,
      projectionDim: text.projection,
    },
    vae: {
      sampleSize: 2 ** (sizes.vae.length - 1) * sizes.sampleSize,
      inChannels: 3,
      outChannels: 3,
      latentChannels: 4,
      blockOutChannels: sizes.vae,
      layersPerBlock: 2,
      normNumGroups: sizes.vaeGroups,
      scalingFactor: upscaler ? 0.08333 : 0.18215,
      shiftFactor: 0,
      useQuantConv: true,
      usePostQuantConv: true,
      midBlockAddAttention: true,
      actFn: 'silu',
    },
    schedule: upscaler
      ? upscalerSchedule
      : { ...stableDiffusionSchedule, predictionType: sizes.predictionType },
  };
  return Object.freeze(configs);
}
