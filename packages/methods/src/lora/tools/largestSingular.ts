/** @file The largest singular values of large matrices, with their vectors. */
import {
  type Backend,
  draws,
  type Executable,
  hostArray,
  type HostArray,
  trace,
} from '@sdft/tensor';
import { type Columns, type Decomposition, jacobi, orthonormal, product } from './orthogonal.ts';

/** Vectors beside those that are wanted: the more, the sooner those stand still. */
const SPARE = 16;
/** Up to so many there is nothing to be left out. */
const FEW = 64;
const ROUNDS = 32;
/** The part of the squares that one more round may still bring. */
const STILL = 1e-6;

/**
 * Decomposes matrices by products with a few vectors, made orthonormal in between (Halko, Martinsson and Tropp 2011, algorithm 4.4). The products are the backend's, in f32. A full decomposition takes
 * ten times as long at 320 x 320, and a hundred times at 1280 x 1280.
 */
export class LargestSingular {
  readonly #backend: Backend;
  readonly #compiled = new Map<string, Promise<Products>>();

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /**
   * @param data row-major [rows, columns]
   * @param wanted how many values, at most the shorter side
   * @returns vectors u [rows] and v [columns], values that fall; the same for the same matrix
   */
  async of(
    data: Float32Array,
    [rows, columns]: readonly [number, number],
    wanted: number,
  ): Promise<Decomposition> {
    const short = Math.min(rows, columns);
    if (data.every((value) => value === 0)) return nothing([rows, columns], wanted);
    const count = short <= FEW ? short : Math.min(short, wanted + SPARE);
    const products = await this.#products(rows, columns, count);
    await products.take(data);
    const { data: start } = draws(0).normal('singular', 0, [count, columns]);
    let right: Columns = orthonormal(columnsOf(start, count, columns)).q;
    let found: Decomposition | undefined;
    for (let round = 0, before = 0; round < ROUNDS; round++) {
      const left = orthonormal(await products.times(right));
      const core = jacobi(left.r);
      found = {
        u: product(left.q, core.u).slice(0, wanted),
        s: core.s.slice(0, wanted),
        v: product(right, core.v).slice(0, wanted),
      };
      const squares = found.s.reduce((sum, s) => sum + s * s, 0);
      // As many vectors as there are columns span everything; fewer do once they were through the matrix and back.
      const spans = count === columns || (count === short && round > 0);
      if (spans || squares - before <= STILL * squares) break;
      before = squares;
      right = orthonormal(await products.timesTransposed(left.q)).q;
    }
    return found!;
  }

  /** Lets go of everything. */
  async dispose(): Promise<void> {
    for (const products of this.#compiled.values()) await (await products).dispose();
    this.#compiled.clear();
  }

  #products(rows: number, columns: number, count: number): Promise<Products> {
    const key = `${rows} ${columns} ${count}`;
    const made = this.#compiled.get(key) ?? Products.make(this.#backend, rows, columns, count);
    this.#compiled.set(key, made);
    return made;
  }
}

/** Products of one matrix A [rows, columns], which may change, with `count` vectors. */
class Products {
  readonly #forward: Executable;
  readonly #backward: Executable;
  readonly #shape: readonly [rows: number, columns: number, count: number];

  private constructor(
    forward: Executable,
    backward: Executable,
    shape: readonly [number, number, number],
  ) {
    this.#forward = forward;
    this.#backward = backward;
    this.#shape = shape;
  }

  static async make(
    backend: Backend,
    rows: number,
    columns: number,
    count: number,
  ): Promise<Products> {
    const graph = (transpose: boolean) =>
      trace((t) => {
        const a = t.state('a', [rows, columns]);
        const x = t.input('x', [count, transpose ? rows : columns]);
        // Vectors are rows here, as they lie in memory.
        return { outputs: { y: x.matmul(a, { transposeB: !transpose }) } };
      });
    return new Products(await backend.compile(graph(false)), await backend.compile(graph(true)), [
      rows,
      columns,
      count,
    ]);
  }

  async take(data: Float32Array): Promise<void> {
    const [rows, columns] = this.#shape;
    await this.#forward.write('a', hostArray(data, [rows, columns]) as HostArray);
    await this.#backward.borrow('a', await this.#forward.view('a'));
  }

  /** A x */
  times(vectors: Columns): Promise<Float64Array[]> {
    const [rows, columns, count] = this.#shape;
    return run(this.#forward, vectors, [count, columns], rows);
  }

  /** A^T x */
  timesTransposed(vectors: Columns): Promise<Float64Array[]> {
    const [rows, columns, count] = this.#shape;
    return run(this.#backward, vectors, [count, rows], columns);
  }

  async dispose(): Promise<void> {
    await this.#forward.dispose();
    await this.#backward.dispose();
  }
}

/** Of a matrix of zeros. */
const nothing = ([rows, columns]: readonly [number, number], wanted: number): Decomposition => ({
  u: Array.from({ length: wanted }, () => new Float64Array(rows)),
  s: new Array<number>(wanted).fill(0),
  v: Array.from({ length: wanted }, () => new Float64Array(columns)),
});

async function run(
  executable: Executable,
  vectors: Columns,
  [count, length]: readonly [number, number],
  results: number,
): Promise<Float64Array[]> {
  const x = new Float32Array(count * length);
  vectors.forEach((vector, i) => x.set(vector, i * length));
  const { y } = await executable.run({ x: hostArray(x, [count, length]) as HostArray });
  return columnsOf(y!.data, count, results);
}

const columnsOf = (data: ArrayLike<number>, count: number, length: number): Float64Array[] =>
  Array.from({ length: count }, (_, i) =>
    Float64Array.from({ length }, (_, k) => data[i * length + k]!),
  );
