/** @file Attention over the pixels of a feature map (Rombach et al. 2022, section 3.3; diffusers `transformer_2d.py`, `attention.py`). */
import { attention, geglu, type Tensor } from '@sdft/tensor';
import { conv2d } from '../layers/conv2d.ts';
import { linear } from '../layers/linear.ts';
import { groupNorm, layerNorm } from '../layers/norms.ts';
import type { Scope } from '../scope.ts';
import type { Region } from '../layers/region.ts';

export interface TransformerOptions {
  /** [B, L, C]: what the second attention of each block looks at. */
  readonly context: Tensor;
  readonly heads: number;
  /** Blocks inside. */
  readonly depth: number;
  readonly groups: number;
  readonly linearProjection: boolean;
  /** The first attention of each block looks at the context, too. */
  readonly onlyCross: boolean;
  readonly region: Region;
}

/** x [B, C, H, W] -> the same shape. */
export function transformer(scope: Scope, x: Tensor, options: TransformerOptions): Tensor {
  const { context, heads, depth, groups, linearProjection, onlyCross, region } = options;
  const [b, c, h, w] = x.shape as [number, number, number, number];
  const toTokens = (map: Tensor) => map.permute([0, 2, 3, 1]).reshape([b, h * w, c]);
  const toMap = (tokens: Tensor) => tokens.reshape([b, h, w, c]).permute([0, 3, 1, 2]);
  const enter = (): Tensor => {
    // 1e-6 is fixed in diffusers, whatever the config's norm_eps.
    const normed = groupNorm(scope.at('norm'), x, { groups, eps: 1e-6 });
    return linearProjection
      ? linear(scope.at('proj_in'), toTokens(normed), c)
      : toTokens(conv2d(scope.at('proj_in'), normed, c, { kernel: 1 }));
  };
  const leave = (tokens: Tensor): Tensor =>
    linearProjection
      ? toMap(linear(scope.at('proj_out'), tokens, c))
      : conv2d(scope.at('proj_out'), toMap(tokens), c, { kernel: 1 });

  return scope.inside(() => {
    let tokens: Tensor | undefined;
    for (let i = 0; i < depth; i++)
      tokens = region(() =>
        transformerBlock(scope.at(`transformer_blocks.${i}`), tokens ?? enter(), {
          context,
          heads,
          onlyCross,
        }),
      );
    return leave(tokens ?? enter()).add(x);
  });
}

/** x [B, N, C] -> the same shape. */
function transformerBlock(
  scope: Scope,
  x: Tensor,
  { context, heads, onlyCross }: Pick<TransformerOptions, 'context' | 'heads' | 'onlyCross'>,
): Tensor {
  const width = x.shape[2]!;
  return scope.inside(() => {
    const own = layerNorm(scope.at('norm1'), x);
    const looked = x.add(attend(scope.at('attn1'), own, onlyCross ? context : own, heads));
    const read = looked.add(
      attend(scope.at('attn2'), layerNorm(scope.at('norm2'), looked), context, heads),
    );
    const normed = layerNorm(scope.at('norm3'), read);
    const inner = geglu(linear(scope.at('ff.net.0.proj'), normed, 8 * width));
    return read.add(linear(scope.at('ff.net.2'), inner, width));
  });
}

/** Queries from x [B, N, C], keys and values from context [B, L, D]: [B, N, C]. */
function attend(scope: Scope, x: Tensor, context: Tensor, heads: number): Tensor {
  const width = x.shape[2]!;
  const project = (name: string, from: Tensor) =>
    linear(scope.at(name), from, width, { bias: false });
  const [q, k, v] = [project('to_q', x), project('to_k', context), project('to_v', context)];
  const mixed = scope.inside(() => attention(q, k, v, { heads }));
  return linear(scope.at('to_out.0'), mixed, width);
}
