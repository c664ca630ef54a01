/** @file CLIP's text encoder (Radford et al. 2021, section 2.4; transformers `modeling_clip.py`, `CLIPTextModel`). */
import { attention, gelu, quickGelu, type Tensor, UserError } from '@sdft/tensor';
import type { ClipTextConfig } from '../config.ts';
import { embedding } from '../layers/embedding.ts';
import { linear } from '../layers/linear.ts';
import { layerNorm } from '../layers/norms.ts';
import { regionFor } from '../layers/region.ts';
import type { Scope } from '../scope.ts';

export interface ClipTextOutput {
  /** [B, L, C] each: the embeddings, then what every layer gives, without the final layer norm. */
  readonly hiddenStates: readonly Tensor[];
  /** [B, L, C]: what the last layer gives, through the final layer norm. */
  readonly lastHiddenState: Tensor;
  /** [B, C]: `lastHiddenState` at each sequence's first end token; at its first token where there is none. */
  readonly pooled: Tensor;
}

export interface ClipTextOptions {
  /** Gradients compute each layer again instead of keeping what is inside. */
  readonly recompute?: boolean;
}

export interface ClipContextOptions extends ClipTextOptions {
  /** 1: the last layer's states; 2: those of the layer before, and so on, as A1111 and kohya count (diffusers' pipelines count one less). Layers that are not needed are not traced. */
  readonly clipSkip?: number;
}

/**
 * The whole encoder on inputIds [B, L] (i32), L at most `maxPositionEmbeddings`. Weights are named as in the checkpoint, below the scope's path (`text_encoder`).
 *
 * @throws UserError where the ids do not fit the configuration
 */
export function clipText(
  scope: Scope,
  config: ClipTextConfig,
  inputIds: Tensor,
  options: ClipTextOptions = {},
): ClipTextOutput {
  const model = scope.at('text_model');
  const hiddenStates = run(model, config, inputIds, config.numHiddenLayers, options);
  const lastHiddenState = finalNorm(model, config, hiddenStates.at(-1)!);
  const pooled = atFirstEnd(model, config, inputIds, lastHiddenState);
  return { hiddenStates, lastHiddenState, pooled };
}

/**
 * What the U-Net looks at, for inputIds [B, L] (i32): [B, L, C], with the final layer norm whatever `clipSkip` is (AUTOMATIC1111 `sd_hijack_clip.py`).
 *
 * @throws UserError where the ids or `clipSkip` do not fit the configuration
 */
export function clipContext(
  scope: Scope,
  config: ClipTextConfig,
  inputIds: Tensor,
  { clipSkip = 1, ...options }: ClipContextOptions = {},
): Tensor {
  const most = config.numHiddenLayers;
  if (!Number.isInteger(clipSkip) || clipSkip < 1 || clipSkip > most)
    throw new UserError(
      `clipSkip ${clipSkip} is not possible: this text encoder has ${most} layers; give a whole number from 1 (the last layer) to ${most}`,
    );
  const model = scope.at('text_model');
  const states = run(model, config, inputIds, most + 1 - clipSkip, options);
  return finalNorm(model, config, states.at(-1)!);
}

/**
 * Prompts longer than one window: ids [B, chunks, L], each chunk a whole window with its own start and end token -> [B, chunks L, C].
 * Chunks do not see one another (AUTOMATIC1111 `sd_hijack_clip.py`).
 *
 * @throws UserError as `clipContext` does
 */
export function encodePromptChunks(
  scope: Scope,
  config: ClipTextConfig,
  ids: Tensor,
  options: ClipContextOptions = {},
): Tensor {
  if (ids.rank !== 3)
    throw new UserError(
      `text encoder: chunks of ids must be [B, chunks, L], got [${ids.shape.join(', ')}]`,
    );
  const [batch, chunks, length] = ids.shape as [number, number, number];
  const flat = ids.reshape([batch * chunks, length]);
  return clipContext(scope, config, flat, options).reshape([
    batch,
    chunks * length,
    config.hiddenSize,
  ]);
}

/** The embeddings and the states after each of the first `layers` layers. */
function run(
  model: Scope,
  config: ClipTextConfig,
  inputIds: Tensor,
  layers: number,
  { recompute = false }: ClipTextOptions,
): Tensor[] {
  const [, length] = inputIds.shape;
  if (inputIds.rank !== 2 || inputIds.dtype !== 'i32' || length! > config.maxPositionEmbeddings)
    throw new UserError(
      `text encoder: ids must be i32 [B, L] with L up to ${config.maxPositionEmbeddings}, got ${inputIds.dtype} [${inputIds.shape.join(', ')}]; encode longer prompts in chunks`,
    );
  const region = regionFor(model.tracer, recompute);
  const at = model.at('embeddings');
  const places = model.tracer.constant([...Array(length!).keys()], [length!], 'i32');
  const { vocabSize, maxPositionEmbeddings, hiddenSize } = config;
  const states = [
    at.inside(() =>
      embedding(at.at('token_embedding'), inputIds, vocabSize, hiddenSize).add(
        embedding(at.at('position_embedding'), places, maxPositionEmbeddings, hiddenSize),
      ),
    ),
  ];
  for (let i = 0; i < layers; i++) {
    const input = states[i]!;
    states.push(region(() => encoderLayer(model.at(`encoder.layers.${i}`), config, input)));
  }
  return states;
}

/** x [B, L, C] -> the same shape. */
function encoderLayer(scope: Scope, config: ClipTextConfig, x: Tensor): Tensor {
  const { layerNormEps: eps, hiddenSize, numAttentionHeads: heads } = config;
  const activation = config.hiddenAct === 'gelu' ? gelu : quickGelu;
  return scope.inside(() => {
    const normed = layerNorm(scope.at('layer_norm1'), x, { eps });
    const [q, k, v] = (['q_proj', 'k_proj', 'v_proj'] as const).map((name) =>
      linear(scope.at(`self_attn.${name}`), normed, hiddenSize),
    );
    const mixed = attention(q!, k!, v!, { heads, causal: true });
    const read = x.add(linear(scope.at('self_attn.out_proj'), mixed, hiddenSize));
    const inner = linear(
      scope.at('mlp.fc1'),
      layerNorm(scope.at('layer_norm2'), read, { eps }),
      config.intermediateSize,
    );
    return read.add(linear(scope.at('mlp.fc2'), activation(inner), hiddenSize));
  });
}

const finalNorm = (model: Scope, config: ClipTextConfig, x: Tensor): Tensor =>
  layerNorm(model.at('final_layer_norm'), x, { eps: config.layerNormEps });

/** Rows of states [B, L, C] at the first end token of ids [B, L]: [B, C]. Padding may be end tokens too, and added tokens are numbered above them. */
function atFirstEnd(model: Scope, config: ClipTextConfig, ids: Tensor, states: Tensor): Tensor {
  const [batch, length, width] = states.shape as [number, number, number];
  return model.inside(() => {
    const ramp = (value: (i: number) => number) =>
      model.tracer.constant(
        Array.from({ length }, (_, i) => value(i)),
        [1, length],
      );
    // Earlier end tokens score higher; without one the first place wins.
    const scores = ids.equal(config.eosTokenId).where(
      ramp((i) => length - i),
      ramp((i) => (i === 0 ? 0.5 : 0)),
    );
    const first = scores.equal(scores.max(1, { keepDims: true })).cast('f32');
    return first.reshape([batch, 1, length]).matmul(states).reshape([batch, width]);
  });
}
