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

type Sizes = Readonly<Record<'batch' | 'heads' | 'queries' | 'keys', number>>;

/** How many queries share a chunk: as many as have `bytes` of scores, in equal parts. */
export function queryChunks(bytes: number, { batch, heads, queries, keys }: Sizes): number[] {
  const most = Math.max(1, Math.floor(bytes / (4 * batch * heads * keys)));
  const count = Math.ceil(queries / most);
  return Array.from(
    { length: count },
    (_, i) => Math.floor(((i + 1) * queries) / count) - Math.floor((i * queries) / count),
  );
}

/** Into how many equal parts the heads of all pictures are divided, so that the scores of one take `bytes` at most; 1 where those of a single head take more. */
export function headTiles(bytes: number, { batch, heads, queries, keys }: Sizes): number {
  const most = Math.floor(bytes / (4 * queries * keys));
  if (most === 0) return 1;
  let parts = Math.ceil((batch * heads) / most);
  while ((batch * heads) % parts !== 0) parts++;
  return parts;
}

/** Of some heads, each [heads, ...]; see emitAttentionGrad. */
interface Tile {
  /** [.., Lq, d] */
  readonly q: Name;
  /** [.., d, Lq] */
  readonly qT: Name;
  /** [.., d, Lk] */
  readonly kT: Name;
  /** [.., d + 1, Lk], a row of ones at the end. */
  readonly vT: Name;
  /** [.., Lq, d + 1], -delta at the end. */
  readonly dout: Name;
  /** [.., d, Lq] */
  readonly doutT: Name;
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
  const heads = options.heads as number;
  const [batch, queries, width] = at.node(inputs[0]!).shape as [number, number, number];
  const keys = at.node(inputs[1]!).shape[1]!;
  const [d, dv] = [width / heads, at.node(inputs[2]!).shape[2]! / heads];
  const sizes = { batch, heads, queries, keys };
  const byHead = (id: NodeId, length: number, depth: number): Name =>
    e.reshape(at.value(id), [batch, length, heads, depth]);
  const parts = headTiles(at.tileBytes, sizes);
  const tiled = (x: Name, perm: readonly number[], [rows, columns]: readonly number[]): Name[] => {
    const ordered = e.transpose(x, perm);
    if (parts === 1) return [ordered];
    const flat = e.reshape(ordered, [batch * heads, rows!, columns!]);
    return e.nodeWith(parts, 'Split', [flat], { attributes: { axis: 0, num_outputs: parts } });
  };
  const rows = (x: Name, shape: readonly number[]): Name[] => tiled(x, [0, 2, 1, 3], shape);
  const columns = (x: Name, shape: readonly number[]): Name[] => tiled(x, [0, 2, 3, 1], shape);

  const [q, k, v] = [
    byHead(inputs[0]!, queries, d),
    byHead(inputs[1]!, keys, d),
    byHead(inputs[2]!, keys, dv),
  ];
  const [out, dout] = [byHead(inputs[3]!, queries, dv), byHead(inputs[4]!, queries, dv)];
  const delta = e.node('ReduceSum', [e.node('Mul', [dout, out]), e.i64([-1])]);
  // One column more, so that the product with v and a row of ones is dout v^T - delta.
  const withDelta = e.node('Concat', [dout, e.node('Neg', [delta])], { attributes: { axis: 3 } });
  const ones = e.f32(new Array<number>(batch * keys * heads).fill(1), [batch, keys, heads, 1]);
  const withOnes = e.node('Concat', [v, ones], { attributes: { axis: 3 } });
  const whole = {
    q: rows(q, [queries, d]),
    qT: columns(q, [d, queries]),
    kT: columns(k, [d, keys]),
    vT: columns(withOnes, [dv + 1, keys]),
    dout: rows(withDelta, [queries, dv + 1]),
    doutT: columns(dout, [dv, queries]),
  };
  const mask = options.causal ? causalMask(e, queries, keys) : undefined;
  const chunks = queryChunks(at.chunkBytes, { ...sizes, batch: 1, heads: (batch * heads) / parts });
  const scale = options.scale as number;
  const results = Array.from({ length: parts }, (_, i) =>
    emitTileGrad(
      e,
      {
        q: whole.q[i]!,
        qT: whole.qT[i]!,
        kT: whole.kT[i]!,
        vT: whole.vT[i]!,
        dout: whole.dout[i]!,
        doutT: whole.doutT[i]!,
      },
      { scale, mask, chunks, rank: parts === 1 ? 4 : 3 },
    ),
  );
  const back = (tiles: readonly Name[], length: number, depth: number): Name => {
    const joined =
      parts === 1
        ? tiles[0]!
        : e.reshape(e.node('Concat', tiles, { attributes: { axis: 0 } }), [
            batch,
            heads,
            depth,
            length,
          ]);
    return e.reshape(e.transpose(joined, [0, 3, 1, 2]), [batch, length, heads * depth]);
  };
  return [
    back(
      results.map(({ q }) => q),
      queries,
      d,
    ),
    back(
      results.map(({ k }) => k),
      keys,
      d,
    ),
    back(
      results.map(({ v }) => v),
      keys,
      dv,
    ),
  ];
}

/** The gradients of a tile's heads, each [.., d, L]. */
function emitTileGrad(
  e: Emitter,
  tile: Tile,
  {
    scale,
    mask,
    chunks,
    rank,
  }: {
    readonly scale: number;
    /** [Lq, Lk] */
    readonly mask: Name | undefined;
    /** How many queries at a time. */
    readonly chunks: readonly number[];
    /** Of the tile's tensors. */
    readonly rank: number;
  },
): Record<'q' | 'k' | 'v', Name> {
  const dqT: Name[] = [];
  let dkT: Name | undefined;
  let dvT: Name | undefined;
  let from = 0;
  for (const length of chunks) {
    const cut = (x: Name, axis: number): Name =>
      chunks.length === 1 ? x : e.slice(x, [axis], [from], [from + length]);
    const scores = e.matmul(cut(tile.q, rank - 2), tile.kT, { alpha: scale });
    const p = e.node(
      'Softmax',
      [mask === undefined ? scores : e.node('Add', [scores, cut(mask, 0)])],
      { attributes: { axis: -1 } },
    );
    const ds = e.node('Mul', [p, e.matmul(cut(tile.dout, rank - 2), tile.vT)]);
    dqT.push(e.matmul(tile.kT, ds, { transB: true, alpha: scale }));
    const part = {
      k: e.matmul(cut(tile.qT, rank - 1), ds, { alpha: scale }),
      v: e.matmul(cut(tile.doutT, rank - 1), p),
    };
    dkT = dkT === undefined ? part.k : e.node('Add', [dkT, part.k]);
    dvT = dvT === undefined ? part.v : e.node('Add', [dvT, part.v]);
    from += length;
  }
  const q = dqT.length === 1 ? dqT[0]! : e.node('Concat', dqT, { attributes: { axis: rank - 1 } });
  return { q, k: dkT!, v: dvT! };
}

function causalMask(e: Emitter, queries: number, keys: number): Name {
  const hidden = Array.from({ length: queries * keys }, (_, i) =>
    i % keys <= Math.floor(i / keys) ? 0 : -1e30,
  );
  return e.f32(hidden, [queries, keys]);
}
