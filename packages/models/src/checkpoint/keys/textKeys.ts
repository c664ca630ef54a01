/**
 * Translates a text encoder tensor name of a single SD1 file (below `cond_stage_model.transformer.`) or of a transformers file (below
 * `text_encoder/`) to the path below `text_encoder.`. Files of 2022 and of transformers 5 lack `text_model.`.
 *
 * @returns undefined for what the encoder does not need: position ids, the projection, the image half of CLIP
 */
export function textKey(key: string): string | undefined {
  const name = key.startsWith('text_model.') ? key.slice('text_model.'.length) : key;
  if (name === 'embeddings.position_ids') return undefined;
  return /^(embeddings|encoder|final_layer_norm)\./.test(name) ? `text_model.${name}` : undefined;
}

const outside: readonly (readonly [openClip: string, transformers: string])[] = [
  ['token_embedding.weight', 'embeddings.token_embedding.weight'],
  ['positional_embedding', 'embeddings.position_embedding.weight'],
  ['ln_final.weight', 'final_layer_norm.weight'],
  ['ln_final.bias', 'final_layer_norm.bias'],
];
const inside: readonly (readonly [openClip: string, transformers: string])[] = [
  ['ln_1', 'layer_norm1'],
  ['ln_2', 'layer_norm2'],
  ['attn.out_proj', 'self_attn.out_proj'],
  ['mlp.c_fc', 'mlp.fc1'],
  ['mlp.c_proj', 'mlp.fc2'],
];

/** A tensor of an OpenCLIP text encoder, in transformers' terms. */
export type OpenClipTarget =
  | { readonly kind: 'one'; readonly path: string }
  /** Query, key and value on top of each other: three tensors, each a third of the rows. */
  | { readonly kind: 'fused'; readonly paths: readonly [string, string, string] };

/**
 * Translates a text encoder tensor name of a single SD2 file (below `cond_stage_model.model.`, OpenCLIP's names) to paths below `text_encoder.`.
 *
 * @returns undefined for what the encoder does not need: the projection, the temperature, the attention mask
 */
export function openClipKey(key: string): OpenClipTarget | undefined {
  const simple = outside.find(([openClip]) => openClip === key);
  if (simple) return { kind: 'one', path: `text_model.${simple[1]}` };
  const match = /^transformer\.resblocks\.(\d{1,4})\.(.+)$/.exec(key);
  if (!match) return undefined;
  const [, layer, name] = match as unknown as [string, string, string];
  const base = `text_model.encoder.layers.${layer}`;
  const fused = /^attn\.in_proj_(weight|bias)$/.exec(name);
  if (fused) {
    const path = (projection: string): string => `${base}.self_attn.${projection}.${fused[1]}`;
    return { kind: 'fused', paths: [path('q_proj'), path('k_proj'), path('v_proj')] };
  }
  const pair = inside.find(([openClip]) => name.startsWith(`${openClip}.`));
  return pair && { kind: 'one', path: `${base}.${pair[1]}${name.slice(pair[0].length)}` };
}

/**
 * The other way round: what an OpenCLIP file calls a path below `text_encoder.`. Query, key and value have the same name: their rows are
 * joined in that order.
 */
export function openClipKeyOf(path: string): string {
  const name = path.replace(/^text_model\./, '');
  const simple = outside.find(([, transformers]) => transformers === name);
  if (simple) return simple[0];
  const match = /^encoder\.layers\.(\d+)\.(.+)$/.exec(name);
  if (!match) throw new Error(`internal: ${path} is no path of a text encoder`);
  const [, layer, rest] = match as unknown as [string, string, string];
  const base = `transformer.resblocks.${layer}`;
  const fused = /^self_attn\.[qkv]_proj\.(weight|bias)$/.exec(rest);
  if (fused) return `${base}.attn.in_proj_${fused[1]}`;
  const pair = inside.find(([, transformers]) => rest.startsWith(`${transformers}.`));
  if (!pair) throw new Error(`internal: ${path} is no path of a text encoder`);
  return `${base}.${pair[0]}${rest.slice(pair[1].length)}`;
}
