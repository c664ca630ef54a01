import { UserError } from '@sdft/tensor';
import {
  type ClipTextConfig,
  type ScheduleConfig,
  stableDiffusionSchedule,
  type UNetConfig,
  upscalerSchedule,
  type VaeConfig,
} from '../config.ts';
import { specialTokens } from './specialTokens.ts';
import type { TextSizes, UNetSizes, VaeSizes } from './infer.ts';

/** The four configurations of one checkpoint. */
export interface ModelConfigs {
  readonly unet: UNetConfig;
  readonly textEncoder: ClipTextConfig;
  readonly vae: VaeConfig;
  readonly schedule: ScheduleConfig;
}

/** What a single file's tensors do not say about its networks. */
export interface Settings {
  /** Heads of every attention of the U-Net, or the width of one. */
  readonly unetHeads: { readonly count: number } | { readonly size: number };
  readonly hiddenAct: ClipTextConfig['hiddenAct'];
  /** What fills a prompt up to 77 tokens: the end token (SD1) or id 0, `!` (SD2). */
  readonly padding: 'end' | 'zero';
  /** Which of the layers of an OpenCLIP encoder gives the text states. */
  readonly textLayer: 'last' | 'penultimate';
  readonly scalingFactor: number;
  /** undefined: not known. */
  readonly predictionType: ScheduleConfig['predictionType'] | undefined;
  readonly schedule: Omit<ScheduleConfig, 'predictionType'>;
}

/** All code of the single-file layout normalises in 32 groups and has CLIP heads of 64. Source: CompVis `ldm/modules/diffusionmodules/model.py`, `util.py`. */
const normNumGroups = 32;
const textHeadSize = 64;

const common = {
  textLayer: 'penultimate',
  scalingFactor: 0.18215,
  schedule: stableDiffusionSchedule,
} as const;

/**
 * The rule for a family of checkpoints, by the width of its text states: 768 is SD1, 1024 is SD2, and with class labels SD2's x4 upscaler. SD2-base and SD2 768-v have
 * the same shapes, so that no rule tells their prediction type.
 */
export function familySettings({
  crossAttentionDim,
  numClassEmbeds,
}: Pick<UNetSizes, 'crossAttentionDim' | 'numClassEmbeds'>):
  | { settings: Settings; rule: string }
  | undefined {
  if (numClassEmbeds !== undefined)
    return crossAttentionDim === 1024
      ? {
          rule: 'rule for width 1024 with noise levels (x4 upscaler): 8 heads, 32 groups, gelu, v, scaling factor 0.08333',
          settings: {
            ...common,
            unetHeads: { count: 8 },
            hiddenAct: 'gelu',
            padding: 'zero',
            predictionType: 'v_prediction',
            scalingFactor: 0.08333,
            schedule: upscalerSchedule,
          },
        }
      : undefined;
  switch (crossAttentionDim) {
    case 768:
      return {
        rule: 'rule for width 768 (SD1): 8 heads, 32 groups, quick_gelu, epsilon',
        settings: {
          ...common,
          unetHeads: { count: 8 },
          hiddenAct: 'quick_gelu',
          padding: 'end',
          predictionType: 'epsilon',
        },
      };
    case 1024:
      return {
        rule: 'rule for width 1024 (SD2): heads of 64, 32 groups, gelu',
        settings: {
          ...common,
          unetHeads: { size: 64 },
          hiddenAct: 'gelu',
          padding: 'zero',
          predictionType: undefined,
        },
      };
    default:
      return undefined;
  }
}

/** Joins sizes and settings of a U-Net. Throws UserError where they contradict each other. */
export function completeUNet(
  sizes: UNetSizes,
  { unetHeads, predictionType }: Settings,
  where: string,
): UNetConfig {
  checkGroups(sizes.blockOutChannels, where, 'U-Net');
  return {
    ...sizes,
    sampleSize: sampleSizeOf(sizes, predictionType),
    midBlockType: 'UNetMidBlock2DCrossAttn',
    numAttentionHeads: sizes.blockOutChannels.map((width) => {
      const heads = 'count' in unetHeads ? unetHeads.count : width / unetHeads.size;
      if (!Number.isInteger(heads) || heads < 1 || width % heads !== 0) {
        throw new UserError(
          `${where}: attention ${width} wide does not divide into ${'count' in unetHeads ? `${heads} heads` : `heads of ${unetHeads.size}`}; say how the model is built with --config DIR|FILE`,
        );
      }
      return heads;
    }),
    normNumGroups,
    normEps: 1e-5,
    upcastAttention: false,
    flipSinToCos: true,
    freqShift: 0,
    actFn: 'silu',
  };
}

/** SD2's 768-v models are the only ones of the family trained at 768 pixels; the x4 upscaler saw latents of 512 pixels, 4 for each. */
function sampleSizeOf(
  { crossAttentionDim, numClassEmbeds }: UNetSizes,
  predictionType: Settings['predictionType'],
): number {
  if (numClassEmbeds !== undefined) return 128;
  return crossAttentionDim === 1024 && predictionType === 'v_prediction' ? 96 : 64;
}

/** Joins sizes and settings of a text encoder. Throws UserError where they contradict each other. */
export function completeText(
  sizes: TextSizes,
  { hiddenAct, padding }: Settings,
  where: string,
): ClipTextConfig {
  if (sizes.hiddenSize % textHeadSize !== 0) {
    throw new UserError(
      `${where}: a text encoder ${sizes.hiddenSize} wide does not divide into heads of ${textHeadSize}; say how the model is built with --config DIR|FILE`,
    );
  }
  const special = specialTokens(sizes.vocabSize);
  return {
    ...sizes,
    numAttentionHeads: sizes.hiddenSize / textHeadSize,
    hiddenAct,
    layerNormEps: 1e-5,
    ...special,
    padTokenId: padding === 'end' ? special.eosTokenId : 0,
    projectionDim: sizes.hiddenSize,
  };
}

/** Joins sizes and settings of a VAE. Throws UserError where they contradict each other. */
export function completeVae(
  sizes: VaeSizes,
  { scalingFactor }: Pick<Settings, 'scalingFactor'>,
  where: string,
): VaeConfig {
  checkGroups(sizes.blockOutChannels, where, 'VAE');
  return { ...sizes, normNumGroups, scalingFactor, shiftFactor: 0, actFn: 'silu' };
}

function checkGroups(channels: readonly number[], where: string, network: string): void {
  const odd = channels.find((width) => width % normNumGroups !== 0);
  if (odd !== undefined) {
    throw new UserError(
      `${where}: a ${network} block ${odd} wide does not divide into ${normNumGroups} norm groups; say how the model is built with --config DIR|FILE`,
    );
  }
}
