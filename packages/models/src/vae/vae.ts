/** @file The image autoencoder (Rombach et al. 2022, section 3.1; diffusers `autoencoder_kl.py`, `vae.py`). */
import { attention, silu, type Tensor, UserError } from '@sdft/tensor';
import type { VaeConfig } from '../config.ts';
import { conv2d } from '../layers/conv2d.ts';
import { linear } from '../layers/linear.ts';
import { groupNorm } from '../layers/norms.ts';
import { downsample, upsample } from '../layers/resample.ts';
import { resnetBlock } from '../layers/resnetBlock.ts';
import type { Scope } from '../scope.ts';

/** Fixed in diffusers, for every norm of the autoencoder. */
const eps = 1e-6;
const same = { kernel: 3, padding: 1 };

/** A Gaussian for each latent, unscaled; [B, latentChannels, h, w] each. */
export interface Posterior {
  readonly mean: Tensor;
  /** The logarithm of the variance, within -30..20. */
  readonly logvar: Tensor;
}

/**
 * pixels [B, inChannels, H, W] in -1..1 -> the posterior at h = H / 2^(n - 1) with n resolutions, rounded down at each halving.
 * Weights are named as in the checkpoint, below the scope's path (`vae`).
 *
 * @throws UserError where the pixels do not fit the configuration
 */
export function vaeEncode(scope: Scope, config: VaeConfig, pixels: Tensor): Posterior {
  checkChannels('encode: pixels', pixels, config.inChannels);
  return scope.inside(() => encode(scope, config, pixels));
}

function encode(scope: Scope, config: VaeConfig, pixels: Tensor): Posterior {
  const { blockOutChannels: channels, latentChannels } = config;
  const encoder = scope.at('encoder');
  let x = conv2d(encoder.at('conv_in'), pixels, channels[0]!, same);
  channels.forEach((out, level) => {
    const block = encoder.at(`down_blocks.${level}`);
    for (let j = 0; j < config.layersPerBlock; j++)
      x = resnet(block.at(`resnets.${j}`), config, x, out);
    if (level < channels.length - 1) x = downsample(block.at('downsamplers.0'), x, [0, 0, 1, 1]);
  });
  const moments = finish(encoder, config, middle(encoder, config, x), 2 * latentChannels);
  const [mean, logvar] = (
    config.useQuantConv
      ? conv2d(scope.at('quant_conv'), moments, 2 * latentChannels, { kernel: 1 })
      : moments
  ).chunk(2, 1);
  return { mean: mean!, logvar: logvar!.clamp(-30, 20) };
}

/**
 * latents [B, latentChannels, h, w], unscaled, -> pixels [B, outChannels, H, W], about -1..1, not clamped; H = h 2^(n - 1) with n resolutions.
 *
 * @throws UserError where the latents do not fit the configuration
 */
export function vaeDecode(scope: Scope, config: VaeConfig, latents: Tensor): Tensor {
  checkChannels('decode: latents', latents, config.latentChannels);
  return scope.inside(() => decode(scope, config, latents));
}

function decode(scope: Scope, config: VaeConfig, latents: Tensor): Tensor {
  const channels = [...config.blockOutChannels].reverse();
  const decoder = scope.at('decoder');
  const entering = config.usePostQuantConv
    ? conv2d(scope.at('post_quant_conv'), latents, config.latentChannels, { kernel: 1 })
    : latents;
  let x = conv2d(decoder.at('conv_in'), entering, channels[0]!, same);
  x = middle(decoder, config, x);
  channels.forEach((out, i) => {
    const block = decoder.at(`up_blocks.${i}`);
    for (let j = 0; j <= config.layersPerBlock; j++)
      x = resnet(block.at(`resnets.${j}`), config, x, out);
    const [, , h, w] = x.shape as [number, number, number, number];
    if (i < channels.length - 1) x = upsample(block.at('upsamplers.0'), x, [2 * h, 2 * w]);
  });
  return finish(decoder, config, x, config.outChannels);
}

const resnet = (scope: Scope, { normNumGroups: groups }: VaeConfig, x: Tensor, out: number) =>
  resnetBlock(scope, x, { out, groups, eps });

function middle(scope: Scope, config: VaeConfig, x: Tensor): Tensor {
  const block = scope.at('mid_block');
  const width = x.shape[1]!;
  const first = resnet(block.at('resnets.0'), config, x, width);
  const attended = config.midBlockAddAttention
    ? selfAttention(block.at('attentions.0'), config, first)
    : first;
  return resnet(block.at('resnets.1'), config, attended, width);
}

/** One head over all pixels: x [B, C, H, W] -> the same shape. */
function selfAttention(scope: Scope, { normNumGroups: groups }: VaeConfig, x: Tensor): Tensor {
  const [b, c, h, w] = x.shape as [number, number, number, number];
  return scope.inside(() => {
    const normed = groupNorm(scope.at('group_norm'), x, { groups, eps });
    const tokens = normed.reshape([b, c, h * w]).transpose();
    const [q, k, v] = ['to_q', 'to_k', 'to_v'].map((name) => linear(scope.at(name), tokens, c));
    const mixed = linear(scope.at('to_out.0'), attention(q!, k!, v!, { heads: 1 }), c);
    return mixed.transpose().reshape([b, c, h, w]).add(x);
  });
}

const finish = (scope: Scope, config: VaeConfig, x: Tensor, out: number): Tensor =>
  conv2d(
    scope.at('conv_out'),
    silu(groupNorm(scope.at('conv_norm_out'), x, { groups: config.normNumGroups, eps })),
    out,
    same,
  );

function checkChannels(what: string, x: Tensor, channels: number): void {
  if (x.rank !== 4 || x.shape[1] !== channels)
    throw new UserError(
      `vae ${what} must be [B, ${channels}, height, width], got [${x.shape.join(', ')}]`,
    );
}
