import { type KeyMap, type KeyPair, keyMap } from './keyMap.ts';

/** What the numbering of a single file's layers depends on. */
export interface VaeLayout {
  readonly blocks: number;
  readonly layersPerBlock: number;
}

/**
 * Translates VAE tensor names between a single file (below `first_stage_model.`) and diffusers (below `vae/`). The single file counts the decoder's
 * blocks from the finest, diffusers from the coarsest. Source: kohya-ss/sd-scripts `library/model_util.py`, `convert_vae_state_dict`.
 */
export function vaeKeyMap({ blocks, layersPerBlock }: VaeLayout): KeyMap {
  const pairs: KeyPair[] = [
    ['quant_conv', 'quant_conv'],
    ['post_quant_conv', 'post_quant_conv'],
  ];
  for (const half of ['encoder', 'decoder']) {
    pairs.push(
      [`${half}.conv_in`, `${half}.conv_in`],
      [`${half}.conv_out`, `${half}.conv_out`],
      [`${half}.norm_out`, `${half}.conv_norm_out`],
      ...resnetPairs(`${half}.mid.block_1`, `${half}.mid_block.resnets.0`),
      ...resnetPairs(`${half}.mid.block_2`, `${half}.mid_block.resnets.1`),
      [`${half}.mid.attn_1.norm`, `${half}.mid_block.attentions.0.group_norm`],
      [`${half}.mid.attn_1.q`, `${half}.mid_block.attentions.0.to_q`],
      [`${half}.mid.attn_1.k`, `${half}.mid_block.attentions.0.to_k`],
      [`${half}.mid.attn_1.v`, `${half}.mid_block.attentions.0.to_v`],
      [`${half}.mid.attn_1.proj_out`, `${half}.mid_block.attentions.0.to_out.0`],
    );
  }
  for (let i = 0; i < blocks; i++) {
    const up = blocks - 1 - i;
    for (let j = 0; j < layersPerBlock; j++) {
      pairs.push(
        ...resnetPairs(`encoder.down.${i}.block.${j}`, `encoder.down_blocks.${i}.resnets.${j}`),
      );
    }
    for (let j = 0; j <= layersPerBlock; j++) {
      pairs.push(
        ...resnetPairs(`decoder.up.${up}.block.${j}`, `decoder.up_blocks.${i}.resnets.${j}`),
      );
    }
    pairs.push(
      [`encoder.down.${i}.downsample.conv`, `encoder.down_blocks.${i}.downsamplers.0.conv`],
      [`decoder.up.${up}.upsample.conv`, `decoder.up_blocks.${i}.upsamplers.0.conv`],
    );
  }
  return keyMap(pairs);
}

function resnetPairs(ldm: string, diffusers: string): KeyPair[] {
  return [
    ...['norm1', 'conv1', 'norm2', 'conv2'].map(
      (name): KeyPair => [`${ldm}.${name}`, `${diffusers}.${name}`],
    ),
    [`${ldm}.nin_shortcut`, `${diffusers}.conv_shortcut`],
  ];
}

/** Reads the numbering off the names of a single file's VAE. */
export function vaeLayoutOf(keys: Iterable<string>): VaeLayout {
  const layers = new Set<string>();
  for (const key of keys) {
    const match = /^encoder\.down\.(\d+\.block\.\d+)\./.exec(key);
    if (match) layers.add(match[1]!);
  }
  let blocks = 0;
  let layersPerBlock = 0;
  while (layers.has(`${blocks}.block.0`)) blocks++;
  while (layers.has(`0.block.${layersPerBlock}`)) layersPerBlock++;
  return { blocks, layersPerBlock };
}

/**
 * Brings a VAE tensor name of a diffusers file up to date: before 0.17 the attention's layers were called otherwise.
 *
 * @returns undefined for what is no part of a VAE
 */
export function diffusersVaeKey(key: string): string | undefined {
  if (!/^(encoder|decoder|quant_conv|post_quant_conv)\./.test(key)) return undefined;
  const names: Readonly<Record<string, string>> = {
    query: 'to_q',
    key: 'to_k',
    value: 'to_v',
    proj_attn: 'to_out.0',
  };
  return key.replace(
    /(\.attentions\.\d+\.)(query|key|value|proj_attn)\./,
    (_, before: string, name: string) => `${before}${names[name]}.`,
  );
}
