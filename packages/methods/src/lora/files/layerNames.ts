/** @file Names of layers in kohya's files: diffusers' paths, with underscores for dots. */

/** Parts of paths that hold underscores themselves, and those that begin as they do; longer ones first. */
const words = [
  ...['down_blocks', 'up_blocks', 'mid_block', 'attentions', 'transformer_blocks', 'resnets'],
  ...['downsamplers', 'upsamplers', 'attn1', 'attn2', 'to_q', 'to_k', 'to_v', 'to_out'],
  ...['proj_in', 'proj_out', 'proj', 'ff', 'net', 'conv_norm_out', 'conv_shortcut', 'conv_in'],
  ...['conv_out', 'conv1', 'conv2', 'conv', 'time_emb_proj', 'time_embedding', 'linear_1'],
  ...['linear_2', 'norm1', 'norm2', 'norm3', 'norm', 'text_model', 'encoder', 'layers'],
  ...['self_attn', 'q_proj', 'k_proj', 'v_proj', 'out_proj', 'mlp', 'fc1', 'fc2', 'layer_norm1'],
  ...['layer_norm2', 'final_layer_norm', 'embeddings', 'token_embedding', 'position_embedding'],
].sort((a, b) => b.length - a.length);
const part = new RegExp(`(${words.join('|')}|\\d+)(?:_|$)`, 'y');

/** `unet.down_blocks.0...to_q` as kohya calls it: `lora_unet_down_blocks_0_..._to_q`. The text encoder is `lora_te`. */
export const kohyaName = (path: string): string =>
  path
    .replace(/^unet\./, 'lora_unet.')
    .replace(/^text_encoder\./, 'lora_te.')
    .replaceAll('.', '_');

/** The path of a layer that kohya, LyCORIS or diffusers' converter calls so; undefined where no layer of Stable Diffusion 1 or 2 is called so. */
export function pathOfKohya(name: string): string | undefined {
  const [, root, rest] = /^(?:lora|lycoris)_(unet|te1?)_(.+)$/.exec(name) ?? [];
  if (root === undefined || rest === undefined) return undefined;
  const parts: string[] = [];
  part.lastIndex = 0;
  for (let at = 0; at < rest.length; at = part.lastIndex) {
    const found = part.exec(rest);
    if (!found) return undefined;
    parts.push(found[1]!);
  }
  return root === 'unet' ? `unet.${parts.join('.')}` : textPath(parts.join('.'));
}

/** The path of a layer in files of diffusers and PEFT, whose roots may be missing; newer transformers leave `text_model.` out. */
export function pathOfPeft(name: string): string {
  const own = name.replace(/^base_model\.model\./, '').replace('.processor.', '.');
  if (own.startsWith('unet.')) return own;
  const text = /^text_encoder\.(.*)$/.exec(own)?.[1] ?? own;
  return own !== text || /^(text_model|encoder|final_layer_norm)\./.test(text)
    ? textPath(text)
    : `unet.${own}`;
}

const textPath = (path: string): string =>
  `text_encoder.${path.startsWith('text_model.') ? '' : 'text_model.'}${path}`;
