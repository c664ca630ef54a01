/** @file A small convolutional network that tells whose hand drew a picture, and what is drawn. */
import {
  conv2d,
  groupNorm,
  layersOf,
  linear,
  parametersOf,
  resnetBlock,
  type Scope,
} from '@sdft/models';
import { type Shape, silu, type Tensor } from '@sdft/tensor';

/** The shape of the network, and what its two heads know. */
export interface ClassifierConfig {
  /** Pixels of a side of the pictures. */
  readonly side: number;
  /** Channels after each halving. */
  readonly channels: readonly number[];
  /** Groups of each norm. */
  readonly groups: number;
  /** Words that name the artists in prompts. */
  readonly artists: readonly string[];
  /** What is drawn, as prompts call it. */
  readonly concepts: readonly string[];
  /** How often it is right about pictures that nothing learned from: by the base's artists, and by the one that the base never saw. */
  readonly accuracy?: { readonly pairs?: Measured; readonly outlines?: Measured };
}

/** Shares of pictures, 0..1, whose answer comes first. */
export interface Measured {
  readonly pictures: number;
  readonly artist: number;
  readonly concept: { readonly top1: number };
}

/** What it says of pictures, before any softmax. */
export interface Verdicts {
  /** [B, artists] */
  readonly artist: Tensor;
  /** [B, concepts] */
  readonly concept: Tensor;
  /** [B, the last of `channels`]: what both heads read. */
  readonly features: Tensor;
}

const eps = 1e-5;

/**
 * pixels [B,3,side,side] in -1..1: a convolution of 5 x 5 and stride 2, then for each further halving one of 3 x 3 and a residual block, the mean over all places, and two linear heads.
 * Weights lie below the scope's path.
 */
export function classifierNetwork(
  scope: Scope,
  { channels, groups, artists, concepts }: ClassifierConfig,
  pixels: Tensor,
): Verdicts {
  return scope.inside(() => {
    let x = conv2d(scope.at('conv_in'), pixels, channels[0]!, {
      ...{ kernel: 5, stride: 2, padding: [1, 1, 2, 2] },
    });
    channels.slice(1).forEach((out, i) => {
      const block = scope.at(`down_blocks.${i}`);
      const halved = { kernel: 3, stride: 2, padding: [0, 0, 1, 1] } as const;
      x = conv2d(block.at('downsample'), x, out, halved);
      x = resnetBlock(block.at('resnet'), x, { out, groups, eps });
    });
    const features = silu(groupNorm(scope.at('norm_out'), x, { groups, eps })).mean([2, 3]);
    return {
      artist: linear(scope.at('artist'), features, artists.length),
      concept: linear(scope.at('concept'), features, concepts.length),
      features,
    };
  });
}

/** The path that the network's weights lie below. */
export const CLASSIFIER = 'classifier';

/** Shapes of its weights by their names in the file. */
export const classifierShapes = (config: ClassifierConfig): ReadonlyMap<string, Shape> =>
  parametersOf(
    layersOf(CLASSIFIER, (scope) => {
      const { side } = config;
      classifierNetwork(scope, config, scope.tracer.input('pixels', [1, 3, side, side]));
    }),
  );
