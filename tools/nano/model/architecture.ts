/** @file The shape of nano: three networks of Stable Diffusion's kind, together under ten million numbers. */
import { type ModelConfigs, stableDiffusionSchedule } from '@sdft/models';

/** Pieces of the vocabulary in `tokenizer/files`, start and end included. */
const VOCABULARY = 2314;
const WIDTH = 160;
const unetChannels = [128, 128];
const vaeChannels = [24, 48, 72, 80];

/** Configurations of the three parts. The scaling factor is set when the autoencoder has been trained. */
export const nano: ModelConfigs = {
  unet: {
    sampleSize: 8,
    inChannels: 8,
    outChannels: 8,
    blockOutChannels: unetChannels,
    downBlockTypes: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D'],
    midBlockType: 'UNetMidBlock2DCrossAttn',
    upBlockTypes: ['CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
    layersPerBlock: [1, 1],
    transformerLayersPerBlock: [1, 1],
    crossAttentionDim: WIDTH,
    numAttentionHeads: [4, 4],
    normNumGroups: 16,
    normEps: 1e-5,
    useLinearProjection: false,
    upcastAttention: false,
    flipSinToCos: true,
    freqShift: 0,
    actFn: 'silu',
  },
  textEncoder: {
    vocabSize: VOCABULARY,
    hiddenSize: WIDTH,
    intermediateSize: 4 * WIDTH,
    numHiddenLayers: 3,
    numAttentionHeads: 5,
    maxPositionEmbeddings: 77,
    hiddenAct: 'quick_gelu',
    layerNormEps: 1e-5,
    bosTokenId: VOCABULARY - 2,
    eosTokenId: VOCABULARY - 1,
    padTokenId: VOCABULARY - 1,
    projectionDim: WIDTH,
  },
  vae: {
    sampleSize: 64,
    inChannels: 3,
    outChannels: 3,
    latentChannels: 8,
    blockOutChannels: vaeChannels,
    layersPerBlock: 1,
    normNumGroups: 8,
    scalingFactor: 1,
    shiftFactor: 0,
    useQuantConv: true,
    usePostQuantConv: true,
    midBlockAddAttention: true,
    actFn: 'silu',
  },
  schedule: stableDiffusionSchedule,
};
