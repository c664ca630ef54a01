/** @file Softmax and scaled dot-product attention (Vaswani et al. 2017, equation 1). */
import { failureIn } from '../errors.ts';
import { showShape } from '../graph/types.ts';
import { axisOf, literal, type Tensor } from '../trace/tensor.ts';
import { composite } from './define.ts';

type SoftmaxOptions = { readonly axis: number };
const softmaxGrad = composite<SoftmaxOptions>('softmaxGrad', {
  define: ([dy, y], { axis }) => [dy!.sub(dy!.mul(y!).sum(axis, { keepDims: true })).mul(y!)],
});
const softmaxComposite = composite<SoftmaxOptions>('softmax', {
  define: ([x], { axis }) => {
    const e = x!.sub(x!.max(axis, { keepDims: true }).stopGradient()).exp();
    return [e.div(e.sum(axis, { keepDims: true }))];
  },
  gradient: ({ outputs: [y], cotangent, options }) => softmaxGrad([cotangent, y!], options),
});
/** exp(x) over its sum along `axis`. */
export const softmax = (x: Tensor, axis = -1): Tensor =>
  softmaxComposite([x], { axis: axisOf(axis, x.rank, failureIn('softmax', x.builder.path)) })[0]!;

type AttentionOptions = {
  readonly heads: number;
  readonly scale: number;
  readonly causal: boolean;
};

/** [B, L, heads d] -> [B, heads, L, d] */
const split = (x: Tensor, heads: number): Tensor =>
  x.reshape([x.shape[0]!, x.shape[1]!, heads, -1]).permute([0, 2, 1, 3]);
const join = (x: Tensor): Tensor => x.permute([0, 2, 1, 3]).reshape([x.shape[0]!, x.shape[2]!, -1]);

/** softmax(q k^T scale) over the keys, [B, heads, Lq, Lk]; causal: a query sees no later key. */
function probabilities(q: Tensor, k: Tensor, { heads, scale, causal }: AttentionOptions): Tensor {
  const scores = split(q, heads).matmul(split(k, heads), { transposeB: true }).mul(scale);
  if (!causal) return softmax(scores);
  const length = q.shape[1]!;
  const mask = Array.from({ length: length * length }, (_, i) =>
    i % length <= Math.floor(i / length) ? 0 : -1e30,
  );
  return softmax(scores.add(literal(q.builder, mask, [length, length])));
}

/** (q, k, v, out, dout) -> (dq, dk, dv), with the probabilities computed again instead of kept (Dao et al. 2022, algorithm 4, without its tiles). */
const attentionGrad = composite<AttentionOptions>('attentionGrad', {
  define: ([q, k, v, out, dout], options) => {
    const { heads, scale } = options;
    const p = probabilities(q!, k!, options);
    const d = split(dout!, heads);
    const delta = d.mul(split(out!, heads)).sum(-1, { keepDims: true });
    const ds = p.mul(d.matmul(split(v!, heads), { transposeB: true }).sub(delta)).mul(scale);
    return [
      join(ds.matmul(split(k!, heads))),
      join(ds.matmul(split(q!, heads), { transposeA: true })),
      join(p.matmul(d, { transposeA: true })),
    ];
  },
});
const attentionComposite = composite<AttentionOptions>('attention', {
  define: ([q, k, v], options) => [
    join(probabilities(q!, k!, options).matmul(split(v!, options.heads))),
  ],
  gradient: ({ inputs: [q, k, v], outputs: [out], cotangent, wanted, options }) => {
    const [dq, dk, dv] = attentionGrad([q!, k!, v!, out!, cotangent], options);
    return [wanted[0] ? dq : undefined, wanted[1] ? dk : undefined, wanted[2] ? dv : undefined];
  },
});
/**
 * softmax(q k^T / sqrt(d)) v with `heads` heads side by side in the last axis: q [B,Lq,heads d], k [B,Lk,heads d], v [B,Lk,heads e] -> [B,Lq,heads e].
 * `causal` needs Lq = Lk. Throws UserError where shapes do not fit.
 */
export function attention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { heads, scale, causal = false }: { heads: number; scale?: number; causal?: boolean },
): Tensor {
  const fail = failureIn('attention', q.builder.path);
  const shapes = [q, k, v].map((t) => showShape(t.shape)).join(', ');
  const [b, , width] = q.shape;
  if (
    q.rank !== 3 ||
    k.rank !== 3 ||
    v.rank !== 3 ||
    k.shape[0] !== b ||
    v.shape[0] !== b ||
    k.shape[2] !== width ||
    k.shape[1] !== v.shape[1]
  )
    throw fail(`q, k, v of ${shapes} do not fit`);
  if (width! % heads !== 0 || v.shape[2]! % heads !== 0)
    throw fail(`${shapes} do not divide into ${heads} heads`);
  if (causal && q.shape[1] !== k.shape[1])
    throw fail(`a causal mask needs as many queries as keys, got ${shapes}`);
  return attentionComposite([q, k, v], {
    heads,
    scale: scale ?? 1 / Math.sqrt(width! / heads),
    causal,
  })[0]!;
}
