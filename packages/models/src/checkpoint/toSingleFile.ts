import { UserError, type Weight } from '@sdft/tensor';
import { concatenateWeights, viewWeight, weightOf } from './byteSource.ts';
import { castWeight, type FloatType } from './floats.ts';
import type { ModelConfigs } from './family.ts';
import { openClipKeyOf } from './keys/textKeys.ts';
import { unetKeyMap } from './keys/unetKeys.ts';
import { vaeKeyMap } from './keys/vaeKeys.ts';

/**
 * Names and shapes the tensors of a model as a single file has them: CompVis' layout, with OpenCLIP's names for a text encoder with gelu (SD2).
 * Nothing is read.
 *
 * @param weights tensors by our paths
 * @throws UserError where a tensor has no place in that layout
 */
export function toSingleFile(
  weights: ReadonlyMap<string, Weight>,
  configs: ModelConfigs,
): Map<string, Weight> {
  const { unet, vae, textEncoder } = configs;
  const unetKeys = unetKeyMap({
    layersPerBlock: unet.layersPerBlock,
    attention: unet.downBlockTypes.map((type) => type === 'CrossAttnDownBlock2D'),
  });
  const vaeKeys = vaeKeyMap({
    blocks: vae.blockOutChannels.length,
    layersPerBlock: vae.layersPerBlock,
  });
  const tensors = new Map<string, Weight>();
  const text = new Map<string, Weight>();
  for (const [path, weight] of weights) {
    const [root = ''] = path.split('.', 1);
    const inner = path.slice(root.length + 1);
    if (root === 'text_encoder') text.set(inner, weight);
    else if (root === 'unet')
      tensors.set(`model.diffusion_model.${known(unetKeys.toLdm(inner), path)}`, weight);
    else if (root === 'vae')
      tensors.set(
        `first_stage_model.${known(vaeKeys.toLdm(inner), path)}`,
        asConvolution(inner, weight),
      );
    else throw new UserError(`tensor ${path} has no place in a single-file checkpoint`);
  }
  for (const [key, weight] of textEncoder.hiddenAct === 'gelu'
    ? openClipTensors(text, configs)
    : clipTensors(text, configs)) {
    tensors.set(key, weight);
  }
  return tensors;
}

function known(key: string | undefined, path: string): string {
  if (key === undefined)
    throw new UserError(`tensor ${path} has no place in a single-file checkpoint`);
  return key;
}

/** The VAE's attention is 1x1 convolutions in this layout. */
function asConvolution(path: string, weight: Weight): Weight {
  return /attentions\.\d+\.to_/.test(path) && weight.shape.length === 2
    ? viewWeight(weight, [...weight.shape, 1, 1])
    : weight;
}

function* clipTensors(
  text: ReadonlyMap<string, Weight>,
  { textEncoder }: ModelConfigs,
): Generator<[string, Weight]> {
  for (const [path, weight] of text) yield [`cond_stage_model.transformer.${path}`, weight];
  // CompVis' own loader insists on this buffer.
  const length = textEncoder.maxPositionEmbeddings;
  const ids = BigInt64Array.from({ length }, (_, i) => BigInt(i));
  yield [
    'cond_stage_model.transformer.text_model.embeddings.position_ids',
    weightOf('i64', [1, length], new Uint8Array(ids.buffer)),
  ];
}

/**
 * The loaders of Stability's layout build all of OpenCLIP, whose last layer, projection and temperature nobody uses: the last layer is
 * written twice, the projection leaves everything as it is. Source: kohya-ss/sd-scripts `library/model_util.py`, `make_dummy_weights`.
 */
function* openClipTensors(
  text: ReadonlyMap<string, Weight>,
  { textEncoder }: ModelConfigs,
): Generator<[string, Weight]> {
  const root = 'cond_stage_model.model.';
  const last = `transformer.resblocks.${textEncoder.numHiddenLayers - 1}.`;
  const copy = `transformer.resblocks.${textEncoder.numHiddenLayers}.`;
  for (const [path, weight] of text) {
    if (/\.self_attn\.[kv]_proj\./.test(path)) continue;
    const key = openClipKeyOf(path);
    const whole = path.includes('.self_attn.q_proj.')
      ? concatenateWeights(
          ['q_proj', 'k_proj', 'v_proj'].map((name) => text.get(path.replace('q_proj', name))!),
        )
      : weight;
    yield [root + key, whole];
    if (key.startsWith(last)) yield [root + key.replace(last, copy), whole];
  }
  const { dtype } = text.get('text_model.final_layer_norm.weight')!;
  const projection = castWeight(
    identity(textEncoder.hiddenSize),
    dtype === 'f64' ? 'f32' : (dtype as FloatType),
    'text_projection',
  );
  yield [`${root}text_projection`, projection];
  yield [
    `${root}logit_scale`,
    weightOf('f32', [], new Uint8Array(Float32Array.of(Math.log(100)).buffer)),
  ];
}

/** An identity matrix, made when it is read. */
function identity(size: number): Weight {
  return Object.freeze({
    dtype: 'f32',
    shape: Object.freeze([size, size]),
    read: () =>
      new Uint8Array(
        Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0)).buffer,
      ),
  });
}
