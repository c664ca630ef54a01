import { UserError } from '@sdft/tensor';
import { type ClipTextConfig, onlyCrossOf, type UNetConfig, type VaeConfig } from '../config.ts';
import { showShape } from './storageType.ts';

/** The shapes of the tensors of a file, under our paths. */
export type FoundShapes = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** What the tensors of a U-Net tell about it. Not in them: heads, norm groups, activation. */
export type UNetSizes = Pick<
  UNetConfig,
  | 'inChannels'
  | 'outChannels'
  | 'blockOutChannels'
  | 'downBlockTypes'
  | 'upBlockTypes'
  | 'layersPerBlock'
  | 'transformerLayersPerBlock'
  | 'crossAttentionDim'
  | 'useLinearProjection'
  | 'onlyCrossAttention'
  | 'numClassEmbeds'
>;

/**
 * Reads the sizes of a U-Net off its tensors.
 *
 * @param where the file, for messages
 * @throws UserError naming a tensor that every U-Net has and this file has not
 */
export function inferUNet(found: FoundShapes, where: string): UNetSizes {
  const shape = shapeReader(found, where);
  const has = (path: string): boolean => found.has(`unet.${path}.weight`);
  const blocks = count((i) => has(`down_blocks.${i}.resnets.0.conv1`));
  const blockOutChannels: number[] = [];
  const layersPerBlock: number[] = [];
  const transformerLayersPerBlock: number[] = [];
  const attention: boolean[] = [];
  const onlyCross: boolean[] = [];
  for (let i = 0; i < blocks; i++) {
    const attends = has(`down_blocks.${i}.attentions.0.proj_in`);
    blockOutChannels.push(shape(`unet.down_blocks.${i}.resnets.0.conv1.weight`, 4)[0]!);
    layersPerBlock.push(count((j) => has(`down_blocks.${i}.resnets.${j}.conv1`)));
    attention.push(attends);
    // Keys as wide as the pixels are of the pixels. Where the text is as wide, so are those of the deepest block of the x4 upscaler.
    const keys = found.get(
      `unet.down_blocks.${i}.attentions.0.transformer_blocks.0.attn1.to_k.weight`,
    );
    onlyCross.push(attends && keys !== undefined && keys.shape[1] !== blockOutChannels[i]);
    transformerLayersPerBlock.push(
      attends
        ? count((k) => has(`down_blocks.${i}.attentions.0.transformer_blocks.${k}.attn1.to_q`))
        : 1,
    );
  }
  const middle = 'unet.mid_block.attentions.0';
  const labels = found.get('unet.class_embedding.weight')?.shape[0];
  return {
    inChannels: shape('unet.conv_in.weight', 4)[1]!,
    outChannels: shape('unet.conv_out.weight', 4)[0]!,
    blockOutChannels,
    downBlockTypes: attention.map((attends) => (attends ? 'CrossAttnDownBlock2D' : 'DownBlock2D')),
    upBlockTypes: attention
      .toReversed()
      .map((attends) => (attends ? 'CrossAttnUpBlock2D' : 'UpBlock2D')),
    layersPerBlock,
    transformerLayersPerBlock,
    crossAttentionDim: shape(`${middle}.transformer_blocks.0.attn2.to_k.weight`, 2)[1]!,
    useLinearProjection: shape(`${middle}.proj_in.weight`).length === 2,
    ...onlyCrossOf(onlyCross, attention),
    ...(labels !== undefined && { numClassEmbeds: labels }),
  };
}

/** What the tensors of a text encoder tell about it. Not in them: heads, activation, special tokens. */
export type TextSizes = Pick<
  ClipTextConfig,
  'vocabSize' | 'hiddenSize' | 'intermediateSize' | 'numHiddenLayers' | 'maxPositionEmbeddings'
>;

/**
 * Reads the sizes of a CLIP text encoder off its tensors.
 *
 * @throws UserError naming a tensor that every such encoder has and this file has not
 */
export function inferText(found: FoundShapes, where: string): TextSizes {
  const shape = shapeReader(found, where);
  const root = 'text_encoder.text_model';
  const [vocabSize, hiddenSize] = shape(`${root}.embeddings.token_embedding.weight`, 2) as [
    number,
    number,
  ];
  return {
    vocabSize,
    hiddenSize,
    intermediateSize: shape(`${root}.encoder.layers.0.mlp.fc1.weight`, 2)[0]!,
    numHiddenLayers: count((i) => found.has(`${root}.encoder.layers.${i}.mlp.fc1.weight`)),
    maxPositionEmbeddings: shape(`${root}.embeddings.position_embedding.weight`, 2)[0]!,
  };
}

/** What the tensors of a VAE tell about it. Not in them: norm groups, scaling factor. */
export type VaeSizes = Pick<
  VaeConfig,
  | 'inChannels'
  | 'outChannels'
  | 'latentChannels'
  | 'blockOutChannels'
  | 'layersPerBlock'
  | 'useQuantConv'
  | 'usePostQuantConv'
  | 'midBlockAddAttention'
>;

/**
 * Reads the sizes of a VAE off its tensors.
 *
 * @throws UserError naming a tensor that every VAE has and this file has not
 */
export function inferVae(found: FoundShapes, where: string): VaeSizes {
  const shape = shapeReader(found, where);
  const block = (i: number, j: number): string =>
    `vae.encoder.down_blocks.${i}.resnets.${j}.conv1.weight`;
  const blocks = count((i) => found.has(block(i, 0)));
  return {
    inChannels: shape('vae.encoder.conv_in.weight', 4)[1]!,
    outChannels: shape('vae.decoder.conv_out.weight', 4)[0]!,
    latentChannels: shape('vae.decoder.conv_in.weight', 4)[1]!,
    blockOutChannels: Array.from({ length: blocks }, (_, i) => shape(block(i, 0), 4)[0]!),
    layersPerBlock: count((j) => found.has(block(0, j))),
    useQuantConv: found.has('vae.quant_conv.weight'),
    usePostQuantConv: found.has('vae.post_quant_conv.weight'),
    midBlockAddAttention: found.has('vae.encoder.mid_block.attentions.0.to_q.weight'),
  };
}

function count(exists: (index: number) => boolean): number {
  let n = 0;
  while (exists(n)) n++;
  return n;
}

function shapeReader(
  found: FoundShapes,
  where: string,
): (path: string, rank?: number) => readonly number[] {
  return (path, rank) => {
    const shape = found.get(path)?.shape;
    if (!shape) throw new UserError(`${where}: tensor ${path} is missing`);
    if (rank !== undefined && shape.length !== rank) {
      throw new UserError(
        `${where}: tensor ${path} has shape ${showShape(shape)}; ${rank} axes are expected`,
      );
    }
    return shape;
  };
}
