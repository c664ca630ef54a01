/** @file The denoising network of SD1 and SD2 (Rombach et al. 2022; diffusers `unet_2d_condition.py`, `unet_2d_blocks.py`). */
import { concat, silu, type Tensor, UserError } from '@sdft/tensor';
import type { UNetConfig } from '../config.ts';
import { conv2d } from '../layers/conv2d.ts';
import { embedding } from '../layers/embedding.ts';
import { groupNorm } from '../layers/norms.ts';
import { downsample, upsample } from '../layers/resample.ts';
import { resnetBlock } from '../layers/resnetBlock.ts';
import type { Scope } from '../scope.ts';
import { type Region, regionFor } from '../layers/region.ts';
import { timeEmbedding } from './timeEmbedding.ts';
import { transformer } from './transformer.ts';

export interface UNetInputs {
  /** [B, inChannels, h, w] f32: noisy latents of any size. */
  readonly sample: Tensor;
  /** [B], i32 or f32. */
  readonly timestep: Tensor;
  /** [B, L, crossAttentionDim] f32: the text states. */
  readonly encoderHiddenStates: Tensor;
  /** [B] i32, below `numClassEmbeds`; for models that have labels, and for no others. */
  readonly classLabels?: Tensor | undefined;
}

/**
 * What the network says about the noise: [B, outChannels, h, w]. Weights are named as in the checkpoint, below the scope's path (`unet`).
 *
 * @param options `recompute`: gradients compute each ResNet and transformer block again instead of keeping what is inside
 * @throws UserError where an input does not fit the configuration
 */
export function unet(
  scope: Scope,
  config: UNetConfig,
  inputs: UNetInputs,
  { recompute = false }: { recompute?: boolean } = {},
): Tensor {
  checkInputs(config, inputs);
  return scope.inside(() => denoise(scope, config, inputs, regionFor(scope.tracer, recompute)));
}

function denoise(
  scope: Scope,
  config: UNetConfig,
  { sample, timestep, encoderHiddenStates, classLabels }: UNetInputs,
  region: Region,
): Tensor {
  const channels = config.blockOutChannels;
  const last = channels.length - 1;
  const clock = timeEmbedding(scope.at('time_embedding'), timestep, channels[0]!, config);
  const { numClassEmbeds, onlyCrossAttention } = config;
  const time = silu(
    numClassEmbeds === undefined
      ? clock
      : clock.add(
          embedding(scope.at('class_embedding'), classLabels!, numClassEmbeds, clock.shape[1]!),
        ),
  );
  /** `level` counts from the finest resolution. */
  const resnet = (at: Scope, level: number, x: Tensor, skip?: Tensor): Tensor =>
    region(() =>
      at.inside(() =>
        // Joined inside the region: the gradient keeps the two parts anyway.
        resnetBlock(at, skip ? concat([x, skip], 1) : x, {
          out: channels[level]!,
          groups: config.normNumGroups,
          eps: config.normEps,
          time,
        }),
      ),
    );
  const attend = (
    at: Scope,
    level: number,
    x: Tensor,
    onlyCross = onlyCrossAttention?.[level] ?? false,
  ): Tensor =>
    transformer(at, x, {
      context: encoderHiddenStates,
      heads: config.numAttentionHeads[level]!,
      depth: config.transformerLayersPerBlock[level]!,
      groups: config.normNumGroups,
      linearProjection: config.useLinearProjection,
      onlyCross,
      region,
    });

  let x = conv2d(scope.at('conv_in'), sample, channels[0]!, { kernel: 3, padding: 1 });
  const skips = [x];
  config.downBlockTypes.forEach((type, level) => {
    const block = scope.at(`down_blocks.${level}`);
    for (let j = 0; j < config.layersPerBlock[level]!; j++) {
      x = resnet(block.at(`resnets.${j}`), level, x);
      if (type === 'CrossAttnDownBlock2D') x = attend(block.at(`attentions.${j}`), level, x);
      skips.push(x);
    }
    if (level < last) {
      x = downsample(block.at('downsamplers.0'), x, [1, 1, 1, 1]);
      skips.push(x);
    }
  });

  const middle = scope.at('mid_block');
  x = resnet(middle.at('resnets.0'), last, x);
  x = attend(middle.at('attentions.0'), last, x, false);
  x = resnet(middle.at('resnets.1'), last, x);

  config.upBlockTypes.forEach((type, i) => {
    const level = last - i;
    const block = scope.at(`up_blocks.${i}`);
    for (let j = 0; j <= config.layersPerBlock[level]!; j++) {
      x = resnet(block.at(`resnets.${j}`), level, x, skips.pop());
      if (type === 'CrossAttnUpBlock2D') x = attend(block.at(`attentions.${j}`), level, x);
    }
    if (level > 0) {
      const [, , height, width] = skips.at(-1)!.shape as [number, number, number, number];
      x = upsample(block.at('upsamplers.0'), x, [height, width]);
    }
  });

  const normed = groupNorm(scope.at('conv_norm_out'), x, {
    groups: config.normNumGroups,
    eps: config.normEps,
  });
  return conv2d(scope.at('conv_out'), silu(normed), config.outChannels, { kernel: 3, padding: 1 });
}

function checkInputs(
  config: UNetConfig,
  { sample, timestep, encoderHiddenStates: context, classLabels: labels }: UNetInputs,
): void {
  const [batch] = sample.shape;
  const show = ({ shape }: Tensor): string => `[${shape.join(', ')}]`;
  const problem =
    sample.rank !== 4 || sample.shape[1] !== config.inChannels
      ? `sample must be [B, ${config.inChannels}, h, w], got ${show(sample)}`
      : timestep.rank !== 1 || timestep.shape[0] !== batch
        ? `timestep must be [${batch}], one for each sample, got ${show(timestep)}`
        : context.rank !== 3 ||
            context.shape[0] !== batch ||
            context.shape[2] !== config.crossAttentionDim
          ? `encoderHiddenStates must be [${batch}, L, ${config.crossAttentionDim}], got ${show(context)}: does the text encoder belong to this U-Net?`
          : config.numClassEmbeds === undefined && labels
            ? 'classLabels are given, and this model takes none'
            : config.numClassEmbeds !== undefined &&
                (labels?.rank !== 1 || labels.shape[0] !== batch)
              ? `classLabels must be [${batch}], numbers below ${config.numClassEmbeds}, got ${labels ? show(labels) : 'none'}`
              : undefined;
  if (problem) throw new UserError(`unet: ${problem}`);
}
