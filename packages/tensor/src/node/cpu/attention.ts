/** @file Attention in ONNX Runtime's operators: the scores of a whole layer are never kept. */
import type { NodeId, Options } from '../../graph/types.ts';
import type { Emitter, Name } from './emit.ts';
import { equalParts } from './equalParts.ts';
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

/** Into how many equal parts the heads of all pictures are divided, so that the scores of one take `bytes` at most, if it is not many; 1 where those of a single head take more. */
export function headTiles(bytes: number, { batch, heads, queries, keys }: Sizes): number {
  const most = Math.floor(bytes / (4 * queries * keys));
  return most === 0 ? 1 : equalParts(batch * heads, most);
}

/** Of some heads, [.., d, L] each; see emitAttentionGrad. */
interface Tile {
  readonly q: Name;
  readonly k: Name;
  /** A row of ones at the end. */
  readonly v: Name;
  readonly dout: Name;
  /** The same with -delta at the end. */
  readonly doutDelta: Name;
}

/**
 * (q, k, v, out, dout) -> (dq, dk, dv). Per chunk of queries, with P the probabilities and delta = rowsum(dout out): dS = P (dout v^T - delta), dq = dS k scale,
 * dk = dS^T q scale, dv = P^T dout. The narrow operands (d wide) stand on the left, transposed beforehand, where ONNX Runtime's products read them fastest; from there it also makes the order of the
 * products over d sooner than a transpose would.
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
  /** [.., d, L] of each tile. */
  const tiled = (x: Name, depth: number, length: number): Name[] =>
    parts === 1
      ? [x]
      : e.nodeWith(parts, 'Split', [e.reshape(x, [batch * heads, depth, length])], {
          attributes: { axis: 0, num_outputs: parts },
        });
  const columns = (x: Name): Name => e.transpose(x, [0, 2, 3, 1]);

  const [out, dout] = [byHead(inputs[3]!, queries, dv), byHead(inputs[4]!, queries, dv)];
  const delta = e.node('ReduceSum', [e.node('Mul', [dout, out]), e.i64([-1])]);
  const doutT = columns(dout);
  // One row more, so that the product with v and a row of ones is dout v^T - delta.
  const below = (x: Name, row: Name): Name =>
    e.node('Concat', [x, row], { attributes: { axis: 2 } });
  const ones = e.f32(new Array<number>(batch * heads * keys).fill(1), [batch, heads, 1, keys]);
  const whole = {
    q: tiled(columns(byHead(inputs[0]!, queries, d)), d, queries),
    k: tiled(columns(byHead(inputs[1]!, keys, d)), d, keys),
    v: tiled(below(columns(byHead(inputs[2]!, keys, dv)), ones), dv + 1, keys),
    dout: tiled(doutT, dv, queries),
    doutDelta: tiled(below(doutT, columns(e.node('Neg', [delta]))), dv + 1, queries),
  };
  const mask = options.causal ? causalMask(e, queries, keys) : undefined;
  const chunks = queryChunks(at.chunkBytes, { ...sizes, batch: 1, heads: (batch * heads) / parts });
  const scale = options.scale as number;
  const results = Array.from({ length: parts }, (_, i) =>
    emitTileGrad(
      e,
      {
        q: whole.q[i]!,
        k: whole.k[i]!,
        v: whole.v[i]!,
        dout: whole.dout[i]!,
        doutDelta: whole.doutDelta[i]!,
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
    const q = cut(tile.q, rank - 1);
    const scores = e.matmul(q, tile.k, { transA: true, alpha: scale });
    const p = e.node(
      'Softmax',
      [mask === undefined ? scores : e.node('Add', [scores, cut(mask, 0)])],
      { attributes: { axis: -1 } },
    );
    const dp = e.matmul(cut(tile.doutDelta, rank - 1), tile.v, { transA: true });
    const ds = e.node('Mul', [p, dp]);
    dqT.push(e.matmul(tile.k, ds, { transB: true, alpha: scale }));
    const part = {
      k: e.matmul(q, ds, { alpha: scale }),
      v: e.matmul(cut(tile.dout, rank - 1), p),
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
