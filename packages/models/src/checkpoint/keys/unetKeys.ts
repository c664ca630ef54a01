import { type KeyMap, type KeyPair, keyMap } from './keyMap.ts';

/** What the numbering of a single file's layers depends on, per down block. */
export interface UNetLayout {
  readonly layersPerBlock: readonly number[];
  readonly attention: readonly boolean[];
}

/**
 * Translates U-Net tensor names between a single file (below `model.diffusion_model.`) and diffusers (below `unet/`).
 * Source: kohya-ss/sd-scripts `library/model_util.py`, `convert_unet_state_dict_to_sd`.
 */
export function unetKeyMap({ layersPerBlock, attention }: UNetLayout): KeyMap {
  const pairs: KeyPair[] = [
    ['time_embed.0', 'time_embedding.linear_1'],
    ['time_embed.2', 'time_embedding.linear_2'],
    // A table; layers below that name are SDXL's.
    ['label_emb.weight', 'class_embedding.weight'],
    ['input_blocks.0.0', 'conv_in'],
    ['out.0', 'conv_norm_out'],
    ['out.2', 'conv_out'],
    ...resnetPairs('middle_block.0', 'mid_block.resnets.0'),
    ['middle_block.1', 'mid_block.attentions.0'],
    ...resnetPairs('middle_block.2', 'mid_block.resnets.1'),
  ];
  const last = layersPerBlock.length - 1;
  let input = 1;
  layersPerBlock.forEach((layers, i) => {
    for (let j = 0; j < layers; j++, input++) {
      pairs.push(...resnetPairs(`input_blocks.${input}.0`, `down_blocks.${i}.resnets.${j}`));
      if (attention[i]) pairs.push([`input_blocks.${input}.1`, `down_blocks.${i}.attentions.${j}`]);
    }
    if (i < last)
      pairs.push([`input_blocks.${input++}.0.op`, `down_blocks.${i}.downsamplers.0.conv`]);
  });
  let output = 0;
  for (let i = 0; i <= last; i++) {
    const level = last - i;
    for (let j = 0; j <= layersPerBlock[level]!; j++, output++) {
      pairs.push(...resnetPairs(`output_blocks.${output}.0`, `up_blocks.${i}.resnets.${j}`));
      if (attention[level])
        pairs.push([`output_blocks.${output}.1`, `up_blocks.${i}.attentions.${j}`]);
    }
    if (level > 0)
      pairs.push([
        `output_blocks.${output - 1}.${attention[level] ? 2 : 1}.conv`,
        `up_blocks.${i}.upsamplers.0.conv`,
      ]);
  }
  return keyMap(pairs);
}

function resnetPairs(ldm: string, diffusers: string): KeyPair[] {
  return (
    [
      ['in_layers.0', 'norm1'],
      ['in_layers.2', 'conv1'],
      ['emb_layers.1', 'time_emb_proj'],
      ['out_layers.0', 'norm2'],
      ['out_layers.3', 'conv2'],
      ['skip_connection', 'conv_shortcut'],
    ] as const
  ).map(([from, to]) => [`${ldm}.${from}`, `${diffusers}.${to}`]);
}

/**
 * Reads the numbering off the names of a single file's U-Net: a downsampling closes each block but the last.
 *
 * @param keys names below `model.diffusion_model.`
 */
export function unetLayoutOf(keys: Iterable<string>): UNetLayout {
  const kinds = new Map<number, { downsamples?: boolean; attends?: boolean }>();
  for (const key of keys) {
    const match = /^input_blocks\.(\d{1,4})\.([01])\.(op\.)?/.exec(key);
    if (!match) continue;
    const [, index, part, op] = match;
    const kind = kinds.get(Number(index)) ?? {};
    if (op !== undefined) kind.downsamples = true;
    if (part === '1') kind.attends = true;
    kinds.set(Number(index), kind);
  }
  const layersPerBlock: number[] = [];
  const attention: boolean[] = [];
  let layers = 0;
  let attends = false;
  const close = (): void => {
    layersPerBlock.push(layers);
    attention.push(attends);
    layers = 0;
    attends = false;
  };
  for (let i = 1; kinds.has(i); i++) {
    const kind = kinds.get(i)!;
    if (kind.downsamples) close();
    else {
      layers++;
      attends ||= kind.attends ?? false;
    }
  }
  close();
  return { layersPerBlock, attention };
}
