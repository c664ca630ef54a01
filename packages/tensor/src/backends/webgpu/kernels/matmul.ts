/** @file Products of matrices. */
import type { Epilogue, Plan, Storage, Target } from '../kernel.ts';
import { type Form, formOf, planProduct } from './forms.ts';
import type { Product, Side } from './product.ts';
import { places } from './wgsl.ts';

/** How matrices lie in a buffer; in elements. */
export interface MatrixView {
  readonly storage: Storage;
  readonly offset: number;
  /** One for each batch axis, then of rows and of columns; 0: repeated. */
  readonly strides: readonly number[];
}

export interface Matmul {
  readonly batch: readonly number[];
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** [...batch, m, k] */
  readonly a: MatrixView;
  /** [...batch, k, n] */
  readonly b: MatrixView;
  /** Of the result, row-major [...batch, m, n]. */
  readonly out: Storage;
  readonly epilogue?: Epilogue | undefined;
}

function side(
  name: 'a' | 'b',
  view: MatrixView,
  batch: readonly number[],
  { row, k, rows, depth }: { row: number; k: number; rows: number; depth: number },
): Side {
  const batchStrides = view.strides.slice(0, -2);
  const where = batchStrides
    .map((stride, i) => (stride === 0 ? '' : `${name}_batch${i} * ${stride}u`))
    .filter((term) => term !== '');
  const along = k === 1 ? 'k' : 'row';
  const [neighbour, other, length] = along === 'k' ? [k, row, depth] : [row, k, rows];
  const vector = [8, 4].find(
    (v) =>
      neighbour === 1 &&
      length % v === 0 &&
      [other, view.offset, ...batchStrides].every((s) => s % v === 0),
  ) as 4 | 8 | undefined;
  return {
    storage: view.storage,
    size: [...batch, rows, depth].reduce(
      (size, length, i) => (view.strides[i] === 0 && i < batch.length ? size : size * length),
      1,
    ),
    setup: `${where.length > 0 ? places(`${name}_batch`, 'batch', batch) : ''}
let ${name}_start = ${[`${view.offset}u`, ...where].join(' + ')};`,
    outer: (id, i) => `let row${id} = ${name}_start + ${i} * ${row}u;`,
    inner: (id, i) => `let depth${id} = ${i} * ${k}u;`,
    at: (outer, inner) => ({ address: `row${outer} + depth${inner}` }),
    along,
    vector: vector ?? 1,
  };
}

/** A matrix product as what all forms take. */
export function matmulProduct({ batch, m, n, k, a, b, out, epilogue }: Matmul): Product {
  const [aRow, aColumn] = a.strides.slice(-2) as [number, number];
  const [bRow, bColumn] = b.strides.slice(-2) as [number, number];
  return {
    name: `matmul${[a, b].some((v) => v.storage === 'f16') || out === 'f16' ? ' f16' : ''}`,
    batch: batch.reduce((x, y) => x * y, 1),
    m,
    n,
    k,
    a: side('a', a, batch, { row: aRow, k: aColumn, rows: m, depth: k }),
    b: side('b', b, batch, { row: bColumn, k: bRow, rows: n, depth: k }),
    out: {
      storage: out,
      address: (row, column) => `((batch * ${m}u + ${row}) * ${n}u + ${column})`,
      quads: n % 4 === 0,
    },
    epilogue,
  };
}

/**
 * Inputs a, b and the epilogue's operands; one output. Sums are f32 whatever the storage is.
 * @param form in place of the one that suits the shape and the device
 */
export function planMatmul(matmul: Matmul, target: Target, form?: Form): Plan {
  const product = matmulProduct(matmul);
  return planProduct(product, form ?? formOf(product, target), target);
}
