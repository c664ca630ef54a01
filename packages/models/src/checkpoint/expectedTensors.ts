import type { ClipTextConfig, UNetConfig, VaeConfig } from '../config.ts';

/** Shapes by path, in the order in which the network uses them. */
export type Shapes = Map<string, readonly number[]>;

/** Which networks to list. */
export interface NetworkConfigs {
  readonly unet?: UNetConfig;
  readonly textEncoder?: ClipTextConfig;
  readonly vae?: VaeConfig;
}

/**
 * Every tensor that the networks of these configurations have, with its shape, under diffusers' names below `unet.`, `text_encoder.` and
 * `vae.`. Convolutions are [O,I,kH,kW], linear layers [O,I].
 */
export function expectedTensors(configs: NetworkConfigs): Shapes {
  const shapes: Shapes = new Map();
  if (configs.unet) unetTensors(new Scope(shapes, 'unet'), configs.unet);
  if (configs.textEncoder)
    textTensors(new Scope(shapes, 'text_encoder.text_model'), configs.textEncoder);
  if (configs.vae) vaeTensors(new Scope(shapes, 'vae'), configs.vae);
  return shapes;
}

/** A place in the tree of layers, and what can be put there. */
class Scope {
  readonly #shapes: Shapes;
  readonly #path: string;

  constructor(shapes: Shapes, path: string) {
    this.#shapes = shapes;
    this.#path = path;
  }

  at(name: string): Scope {
    return new Scope(this.#shapes, `${this.#path}.${name}`);
  }

  linear(name: string, inputs: number, outputs: number, bias = true): void {
    this.#layer(name, [outputs, inputs], bias ? outputs : undefined);
  }

  conv(name: string, inputs: number, outputs: number, kernel: number): void {
    this.#layer(name, [outputs, inputs, kernel, kernel], outputs);
  }

  norm(name: string, width: number): void {
    this.#layer(name, [width], width);
  }

  embedding(name: string, entries: number, width: number): void {
    this.#layer(name, [entries, width]);
  }

  #layer(name: string, weight: readonly number[], bias?: number): void {
    this.#shapes.set(`${this.#path}.${name}.weight`, weight);
    if (bias !== undefined) this.#shapes.set(`${this.#path}.${name}.bias`, [bias]);
  }
}

function unetTensors(unet: Scope, config: UNetConfig): void {
  const channels = config.blockOutChannels;
  const finest = channels[0]!;
  const coarsest = channels.at(-1)!;
  const time = 4 * finest;
  unet.conv('conv_in', config.inChannels, finest, 3);
  unet.linear('time_embedding.linear_1', finest, time);
  unet.linear('time_embedding.linear_2', time, time);

  channels.forEach((width, i) => {
    const block = unet.at(`down_blocks.${i}`);
    for (let j = 0; j < config.layersPerBlock[i]!; j++) {
      resnet(block.at(`resnets.${j}`), j === 0 ? (channels[i - 1] ?? finest) : width, width, time);
      if (config.downBlockTypes[i] === 'CrossAttnDownBlock2D')
        transformer(
          block.at(`attentions.${j}`),
          width,
          config.transformerLayersPerBlock[i]!,
          config,
        );
    }
    if (i < channels.length - 1) block.conv('downsamplers.0.conv', width, width, 3);
  });

  const middle = unet.at('mid_block');
  resnet(middle.at('resnets.0'), coarsest, coarsest, time);
  transformer(
    middle.at('attentions.0'),
    coarsest,
    config.transformerLayersPerBlock.at(-1)!,
    config,
  );
  resnet(middle.at('resnets.1'), coarsest, coarsest, time);

  // HF unet_2d_blocks.py: the first layer of an up block comes from the coarser block, the last one joins the finer block's skip.
  const last = channels.length - 1;
  channels.forEach((_, i) => {
    const level = last - i;
    const width = channels[level]!;
    const coarser = channels[Math.min(level + 1, last)]!;
    const finer = channels[Math.max(level - 1, 0)]!;
    const block = unet.at(`up_blocks.${i}`);
    const layers = config.layersPerBlock[level]! + 1;
    for (let j = 0; j < layers; j++) {
      const skip = j === layers - 1 ? finer : width;
      resnet(block.at(`resnets.${j}`), (j === 0 ? coarser : width) + skip, width, time);
      if (config.upBlockTypes[i] === 'CrossAttnUpBlock2D')
        transformer(
          block.at(`attentions.${j}`),
          width,
          config.transformerLayersPerBlock[level]!,
          config,
        );
    }
    if (level > 0) block.conv('upsamplers.0.conv', width, width, 3);
  });

  unet.norm('conv_norm_out', finest);
  unet.conv('conv_out', finest, config.outChannels, 3);
}

function resnet(scope: Scope, inputs: number, outputs: number, time?: number): void {
  scope.norm('norm1', inputs);
  scope.conv('conv1', inputs, outputs, 3);
  if (time !== undefined) scope.linear('time_emb_proj', time, outputs);
  scope.norm('norm2', outputs);
  scope.conv('conv2', outputs, outputs, 3);
  if (inputs !== outputs) scope.conv('conv_shortcut', inputs, outputs, 1);
}

function transformer(scope: Scope, width: number, depth: number, config: UNetConfig): void {
  const project = (name: string): void =>
    config.useLinearProjection
      ? scope.linear(name, width, width)
      : scope.conv(name, width, width, 1);
  scope.norm('norm', width);
  project('proj_in');
  for (let k = 0; k < depth; k++) {
    const block = scope.at(`transformer_blocks.${k}`);
    block.norm('norm1', width);
    attention(block.at('attn1'), width, width);
    block.norm('norm2', width);
    attention(block.at('attn2'), width, config.crossAttentionDim);
    block.norm('norm3', width);
    block.linear('ff.net.0.proj', width, 8 * width);
    block.linear('ff.net.2', 4 * width, width);
  }
  project('proj_out');
}

function attention(scope: Scope, width: number, context: number): void {
  scope.linear('to_q', width, width, false);
  scope.linear('to_k', context, width, false);
  scope.linear('to_v', context, width, false);
  scope.linear('to_out.0', width, width);
}

function textTensors(text: Scope, config: ClipTextConfig): void {
  const width = config.hiddenSize;
  text.embedding('embeddings.token_embedding', config.vocabSize, width);
  text.embedding('embeddings.position_embedding', config.maxPositionEmbeddings, width);
  for (let i = 0; i < config.numHiddenLayers; i++) {
    const layer = text.at(`encoder.layers.${i}`);
    layer.norm('layer_norm1', width);
    for (const name of ['q_proj', 'k_proj', 'v_proj', 'out_proj'])
      layer.linear(`self_attn.${name}`, width, width);
    layer.norm('layer_norm2', width);
    layer.linear('mlp.fc1', width, config.intermediateSize);
    layer.linear('mlp.fc2', config.intermediateSize, width);
  }
  text.norm('final_layer_norm', width);
}

function vaeTensors(vae: Scope, config: VaeConfig): void {
  const channels = config.blockOutChannels;
  const coarsest = channels.at(-1)!;
  const finest = channels[0]!;
  const last = channels.length - 1;
  const middle = (scope: Scope): void => {
    resnet(scope.at('resnets.0'), coarsest, coarsest);
    if (config.midBlockAddAttention) {
      scope.norm('attentions.0.group_norm', coarsest);
      for (const name of ['to_q', 'to_k', 'to_v', 'to_out.0'])
        scope.linear(`attentions.0.${name}`, coarsest, coarsest);
    }
    resnet(scope.at('resnets.1'), coarsest, coarsest);
  };

  const encoder = vae.at('encoder');
  encoder.conv('conv_in', config.inChannels, finest, 3);
  channels.forEach((width, i) => {
    const block = encoder.at(`down_blocks.${i}`);
    for (let j = 0; j < config.layersPerBlock; j++) {
      resnet(block.at(`resnets.${j}`), j === 0 ? (channels[i - 1] ?? finest) : width, width);
    }
    if (i < last) block.conv('downsamplers.0.conv', width, width, 3);
  });
  middle(encoder.at('mid_block'));
  encoder.norm('conv_norm_out', coarsest);
  encoder.conv('conv_out', coarsest, 2 * config.latentChannels, 3);
  if (config.useQuantConv)
    vae.conv('quant_conv', 2 * config.latentChannels, 2 * config.latentChannels, 1);

  if (config.usePostQuantConv)
    vae.conv('post_quant_conv', config.latentChannels, config.latentChannels, 1);
  const decoder = vae.at('decoder');
  decoder.conv('conv_in', config.latentChannels, coarsest, 3);
  middle(decoder.at('mid_block'));
  channels.forEach((_, i) => {
    const level = last - i;
    const width = channels[level]!;
    const block = decoder.at(`up_blocks.${i}`);
    for (let j = 0; j <= config.layersPerBlock; j++) {
      resnet(
        block.at(`resnets.${j}`),
        j === 0 ? channels[Math.min(level + 1, last)]! : width,
        width,
      );
    }
    if (level > 0) block.conv('upsamplers.0.conv', width, width, 3);
  });
  decoder.norm('conv_norm_out', finest);
  decoder.conv('conv_out', finest, config.outChannels, 3);
}
