/** @file Which layers are changed, by the names that trainers have for sets of them. */
import type { Layer as LayerInfo } from '@sdft/models';
import { layerGlob } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';

const attention = 'unet.**.attn{1,2}.{to_q,to_k,to_v,to_out.0}';
const transformer = [
  attention,
  'unet.**.attentions.*.{proj_in,proj_out}',
  'unet.**.ff.net.{0.proj,2}',
];
const resnetLinear = 'unet.**.resnets.*.{time_emb_proj,conv_shortcut}';
const convolutions = ['unet.**.resnets.*.conv{1,2}', 'unet.**.{down,up}samplers.0.conv'];
const timeEmbedding = 'unet.time_embedding.linear_{1,2}';
const ends = 'unet.conv_{in,out}';
const unet = [...transformer, resnetLinear, ...convolutions, timeEmbedding, ends];
const textAttention = 'text_encoder.**.self_attn.{q,k,v,out}_proj';
const text = [textAttention, 'text_encoder.**.mlp.fc{1,2}'];

interface Target {
  readonly unet: readonly string[];
  /** Where the text encoder is trained. */
  readonly text: readonly string[];
}

const all: Target = { unet, text };
const linear: Target = { unet: [...transformer, resnetLinear, timeEmbedding], text };
const attentionOnly: Target = { unet: [attention], text: [textAttention] };

/** `attention` is diffusers' default, the names with dashes are LyCORIS' presets (`config.py`), `attn-mlp` is what kohya's `networks/lora.py` changes without `conv_dim`. */
const named: Readonly<Record<string, Target>> = {
  attention: attentionOnly,
  linear,
  all,
  'attn-only': attentionOnly,
  'attn-mlp': { unet: transformer, text },
  'full-lin': linear,
  full: all,
  'unet-only': { unet, text: [] },
  'unet-transformer-only': { unet: transformer, text: [] },
  'unet-convblock-only': { unet: [resnetLinear, ...convolutions, ends], text: [] },
  /** With `conv_dim`, kohya changes these too. */
  'attn-mlp-conv': { unet: [...transformer, resnetLinear, ...convolutions], text },
  ia3: {
    unet: ['unet.**.attn{1,2}.to_{k,v}', 'unet.**.ff.net.2'],
    text: ['text_encoder.**.self_attn.{k,v}_proj', 'text_encoder.**.mlp.fc2'],
  },
};

/**
 * Picks the linear layers and convolutions that globs match, norms and embeddings aside.
 *
 * @throws UserError, in use, where there are none
 */
export const layersAt =
  (globs: readonly string[]) =>
  (layers: readonly LayerInfo[]): readonly LayerInfo[] => {
    const matches = layerGlob(globs);
    const met = layers.filter(
      ({ path, kind }) => (kind === 'linear' || kind === 'conv2d') && matches(path),
    );
    if (met.length > 0) return met;
    throw new UserError(
      `targets: no linear layer and no convolution of this base is called ${globs.join(' ')}; sdft inspect lists the names of its tensors`,
    );
  };

/**
 * The globs of layers that are changed.
 *
 * @param targets names or globs, in a text with spaces between them or in a list; globs stand for what they match, names for layers of the U-Net and, with `trainTextEncoder`, of the
 *   text encoder
 * @throws UserError where nothing is named, or something that is neither
 */
export function targetGlobs(
  targets: string | readonly string[],
  trainTextEncoder: boolean,
): readonly string[] {
  const words = (typeof targets === 'string' ? targets.split(/\s+/) : targets).filter(
    (word) => word !== '',
  );
  const globs = words.flatMap((word) => {
    const target = Object.hasOwn(named, word) ? named[word] : undefined;
    if (target) return [...target.unet, ...(trainTextEncoder ? target.text : [])];
    if (/^!?(unet|text_encoder)\.|\*/.test(word)) return [word];
    throw new UserError(
      `targets: "${word}" is neither a glob over layers, such as unet.**.attn2.to_{k,v}, nor one of ${Object.keys(named).join(', ')}`,
    );
  });
  if (globs.every((glob) => glob.startsWith('!')))
    throw new UserError('targets: no layer is named; "attention" is usual');
  return [...new Set(globs)];
}
