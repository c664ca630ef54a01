/** @file Small decompositions in double precision. A matrix is its columns. */

/** Columns of one length. */
export type Columns = readonly Float64Array[];

/** A = Q R with orthonormal columns in Q; R [n,n] is upper triangular, by columns. What depends on columns before it becomes a column of zeros. */
export interface Orthonormal {
  readonly q: Float64Array[];
  readonly r: Float64Array[];
}

/** Gram and Schmidt, each column twice, which is enough (Giraud, Langou and Rozloznik 2005). */
export function orthonormal(columns: Columns): Orthonormal {
  const q: Float64Array[] = [];
  const r: Float64Array[] = [];
  for (const [j, column] of columns.entries()) {
    const left = column.slice();
    const own = new Float64Array(columns.length);
    const before = norm(left);
    for (let round = 0; round < 2; round++)
      for (let i = 0; i < j; i++) {
        const part = dot(q[i]!, left);
        own[i]! += part;
        add(left, q[i]!, -part);
      }
    const length = norm(left);
    const isNew = length > 1e-14 * before;
    own[j] = isNew ? length : 0;
    q.push(isNew ? left.map((value) => value / length) : new Float64Array(left.length));
    r.push(own);
  }
  return { q, r };
}

/** A = U diag(s) V^T; s falls. */
export interface Decomposition {
  readonly u: Float64Array[];
  readonly s: number[];
  readonly v: Float64Array[];
}

/** The singular value decomposition of a small matrix, by rotations of its columns until they are orthogonal (Hestenes 1958). */
export function jacobi(columns: Columns): Decomposition {
  const n = columns.length;
  const a = columns.map((column) => column.slice());
  const v = Array.from({ length: n }, (_, j) =>
    Float64Array.from({ length: n }, (_, i) => (i === j ? 1 : 0)),
  );
  for (let sweep = 0, rotated = true; rotated && sweep < 60; sweep++) {
    rotated = false;
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        const [x, y] = [a[p]!, a[q]!];
        const [xx, yy, xy] = [dot(x, x), dot(y, y), dot(x, y)];
        if (Math.abs(xy) <= 1e-15 * Math.sqrt(xx * yy)) continue;
        rotated = true;
        const zeta = (yy - xx) / (2 * xy);
        const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const c = 1 / Math.hypot(1, t);
        turn(x, y, c, c * t);
        turn(v[p]!, v[q]!, c, c * t);
      }
  }
  const lengths = a.map(norm);
  const order = [...lengths.keys()].sort((i, j) => lengths[j]! - lengths[i]!);
  return {
    u: order.map((i) => a[i]!.map((value) => (lengths[i] === 0 ? 0 : value / lengths[i]!))),
    s: order.map((i) => lengths[i]!),
    v: order.map((i) => v[i]!),
  };
}

/** A B, where B's columns are as long as A has columns. */
export function product(a: Columns, b: Columns): Float64Array[] {
  const rows = a[0]?.length ?? 0;
  return b.map((weights) => {
    const sum = new Float64Array(rows);
    a.forEach((column, i) => add(sum, column, weights[i]!));
    return sum;
  });
}

/** A^T. */
export const transposed = (a: Columns): Float64Array[] =>
  Array.from({ length: a[0]?.length ?? 0 }, (_, i) => Float64Array.from(a, (column) => column[i]!));

function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}

const norm = (x: Float64Array): number => Math.sqrt(dot(x, x));

function add(x: Float64Array, y: Float64Array, factor: number): void {
  if (factor !== 0) for (let i = 0; i < x.length; i++) x[i]! += factor * y[i]!;
}

function turn(x: Float64Array, y: Float64Array, c: number, s: number): void {
  for (let i = 0; i < x.length; i++) {
    const [before, other] = [x[i]!, y[i]!];
    x[i] = c * before - s * other;
    y[i] = s * before + c * other;
  }
}
