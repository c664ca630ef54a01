/** @file Attention in ONNX Runtime's operators: the scores of a whole layer are never kept. */
import type { NodeId, Options } from '../../graph/types.ts';
import type { Emitter, Name } from './emit.ts';
import type { Lowering } from './lowering.ts';

/** (q, k, v), each [B, L, heads d] -> [B, Lq, heads d] */
export function emitAttention(at: Lowering, inputs: readonly NodeId[], options: Options): Name {
  return at.emit.node(
    'MultiHeadAttention',
    inputs.map((i) => at.value(i)),
    {
      domain: 'com.microsoft',
      attributes: {
        num_heads: options.heads as number,
        scale: { float: options.scale as number },
        unidirectional: Number(options.causal),
      },
    },
  );
}

/** How many queries share a chunk: as many as have `bytes` of scores, in equal parts. */
export function queryChunks(
  bytes: number,
  { batch, heads, queries, keys }: Readonly<Record<'batch' | 'heads' | 'queries' | 'keys', number>>,
): number[] {
  const most = Math.max(1, Math.floor(bytes / (4 * batch * heads * keys)));
  const count = Math.ceil(queries / most);
  return Array.from(
    { length: count },
    (_, i) => Math.floor(((i + 1) * queries) / count) - Math.floor((i * queries) / count),
  );
}

/**
 * (q, k, v, out, dout) -> (dq, dk, dv). Per chunk of queries, with P the probabilities and delta = rowsum(dout out): dS = P (dout v^T - delta), dq = dS k scale,
 * dk = dS^T q scale, dv = P^T dout. The narrow operands (d wide) stand on the left, transposed beforehand, where ONNX Runtime's products read them fastest.
 */
export function emitAttentionGrad(
  at: Lowering,
  inputs: readonly NodeId[],
  options: Options,
): Name[] {
  const e = at.emit;
  const [heads, scale] = [options.heads as number, options.scale as number];
  const [batch, queries, width] = at.node(inputs[0]!).shape as [number, number, number];
  const keys = at.node(inputs[1]!).shape[1]!;
  const [d, dv] = [width / heads, at.node(inputs[2]!).shape[2]! / heads];
  const byHead = (id: NodeId, length: number, depth: number): Name =>
    e.reshape(at.value(id), [batch, length, heads, depth]);
  const rows = (x: Name): Name => e.transpose(x, [0, 2, 1, 3]);
  const columns = (x: Name): Name => e.transpose(x, [0, 2, 3, 1]);

  const [q, k, v] = [
    byHead(inputs[0]!, queries, d),
    byHead(inputs[1]!, keys, d),
    byHead(inputs[2]!, keys, dv),
  ];
  const [out, dout] = [byHead(inputs[3]!, queries, dv), byHead(inputs[4]!, queries, dv)];
  const delta = e.node('ReduceSum', [e.node('Mul', [dout, out]), e.i64([-1])]);
  const whole = {
    q: rows(q),
    qT: columns(q),
    doutT: columns(dout),
    // One column more, so that the product with v and a row of ones is dout v^T - delta.
    dout: rows(e.node('Concat', [dout, e.node('Neg', [delta])], { attributes: { axis: 3 } })),
  };
  const kT = columns(k);
  const ones = e.f32(new Array<number>(batch * heads * keys).fill(1), [batch, heads, 1, keys]);
  const vT = e.node('Concat', [columns(v), ones], { attributes: { axis: 2 } });
  const mask = options.causal ? causalMask(e, queries, keys) : undefined;

  const dqT: Name[] = [];
  let dkT: Name | undefined;
  let dvT: Name | undefined;
  const chunks = queryChunks(at.chunkBytes, { batch, heads, queries, keys });
  let from = 0;
  for (const length of chunks) {
    const cut = (x: Name, axis: number): Name =>
      chunks.length === 1 ? x : e.slice(x, [axis], [from], [from + length]);
    const scores = e.matmul(cut(whole.q, 2), kT, { alpha: scale });
    const p = e.node(
      'Softmax',
      [mask === undefined ? scores : e.node('Add', [scores, cut(mask, 0)])],
      { attributes: { axis: -1 } },
    );
    const ds = e.node('Mul', [p, e.matmul(cut(whole.dout, 2), vT)]);
    dqT.push(e.matmul(kT, ds, { transB: true, alpha: scale }));
    const part = {
      k: e.matmul(cut(whole.qT, 3), ds, { alpha: scale }),
      v: e.matmul(cut(whole.doutT, 3), p),
    };
    dkT = dkT === undefined ? part.k : e.node('Add', [dkT, part.k]);
    dvT = dvT === undefined ? part.v : e.node('Add', [dvT, part.v]);
    from += length;
  }
  const joined = dqT.length === 1 ? dqT[0]! : e.node('Concat', dqT, { attributes: { axis: 3 } });
  const back = (x: Name, length: number, depth: number): Name =>
    e.reshape(e.transpose(x, [0, 3, 1, 2]), [batch, length, heads * depth]);
  return [back(joined, queries, d), back(dkT!, keys, d), back(dvT!, keys, dv)];
}

function causalMask(e: Emitter, queries: number, keys: number): Name {
  const hidden = Array.from({ length: queries * keys }, (_, i) =>
    i % keys <= Math.floor(i / keys) ? 0 : -1e30,
  );
  return e.f32(hidden, [queries, keys]);
}
