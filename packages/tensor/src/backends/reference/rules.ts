/** @file What each primitive means, in double precision: one exhaustive table. The other backends are held against it. */
import { callForEach } from '../../custom/plain.ts';
import { failureIn, internal } from '../../errors.ts';
import {
  type DType,
  type Node,
  type Primitive,
  type Shape,
  sizeOf,
  stridesOf,
  type TensorType,
} from '../../graph/types.ts';
import { convolve, convolveBack, convolveKernels } from './convolution.ts';
import { erf } from './erf.ts';
import { addProduct } from './matrix.ts';
import { copy, type Data, forEachRow, type Row } from './strided.ts';

/** A computed tensor, row-major: f32 as Float64Array, i32 as Int32Array, bool and u8 as Uint8Array. Never changed once it is made. */
export interface Value extends TensorType {
  readonly data: Data;
}
/** The values of inputs (states too) and weights, by name. */
export interface Given {
  readonly inputs: ReadonlyMap<string, Data>;
  readonly weights: ReadonlyMap<string, Data>;
}
export type Rule<P extends Primitive> = (
  node: Node<P>,
  inputs: readonly Value[],
  given: Given,
) => Data;

export const make = ({ dtype, shape }: TensorType): Data => {
  const size = sizeOf(shape);
  return dtype === 'f32'
    ? new Float64Array(size)
    : dtype === 'i32'
      ? new Int32Array(size)
      : new Uint8Array(size);
};

const each =
  (f: (x: number) => number): Rule<Primitive> =>
  (node, [x]) => {
    const out = make(node);
    const { data } = x!;
    for (let i = 0; i < out.length; i++) out[i] = f(data[i]!);
    return out;
  };
const pairwise =
  (f: (a: number, b: number) => number): Rule<Primitive> =>
  (node, [a, b]) => {
    const out = make(node);
    for (let i = 0; i < out.length; i++) out[i] = f(a!.data[i]!, b!.data[i]!);
    return out;
  };
/** What the bulk of a network consists of has loops of its own, which are several times as fast as a call for each element. */
const looped =
  (loop: (out: Data, a: Data, b: Data) => void): Rule<Primitive> =>
  (node, [a, b]) => {
    const out = make(node);
    loop(out, a!.data, b!.data);
    return out;
  };
const quotients = looped((out, a, b) => {
  for (let i = 0; i < out.length; i++) out[i] = a[i]! / b[i]!;
});
const truncated = pairwise((a, b) => Math.trunc(a / b));
/** Integers divide towards zero. */
const divide: Rule<'div'> = (node, inputs, given) =>
  (node.dtype === 'i32' ? truncated : quotients)(node, inputs, given);
/** IEEE 754's pow: unlike JavaScript's, 1 to any power is 1, and so is -1 to an infinite one. */
const power = (a: number, b: number): number =>
  a === 1 || (a === -1 && Math.abs(b) === Number.POSITIVE_INFINITY) ? 1 : a ** b;
const products = looped((out, a, b) => {
  for (let i = 0; i < out.length; i++) out[i] = a[i]! * b[i]!;
});
const wrapped = pairwise(Math.imul);
/** Integers wrap around, as those of 32 bits do. */
const multiply: Rule<'mul'> = (node, inputs, given) =>
  (node.dtype === 'i32' ? wrapped : products)(node, inputs, given);

const reduce =
  (
    start: (dtype: DType) => number,
    takeRow: (out: Data, x: Data) => Row,
  ): Rule<'reduceSum' | 'reduceMax'> =>
  (node, [x]) => {
    const out = make(node).fill(start(node.dtype));
    const strides = stridesOf(node.shape).map((s, i) => (node.attrs.axes.includes(i) ? 0 : s));
    forEachRow(x!.shape, { strides: stridesOf(x!.shape) }, { strides }, takeRow(out, x!.data));
    return out;
  };

/** A row-major tensor where `region` starts at `offset`, seen as a part of `whole`. */
const partOf = (whole: Shape, start: readonly number[]) => {
  const strides = stridesOf(whole);
  return { strides, offset: start.reduce((at, s, i) => at + s * strides[i]!, 0) };
};
const all = (shape: Shape) => ({ strides: stridesOf(shape) });

/** The rows that `indices` name. Throws UserError where there is no such row. */
function* rowsAt(indices: Value, rows: number, node: Node): Generator<[at: number, row: number]> {
  for (let at = 0; at < indices.data.length; at++) {
    const row = indices.data[at]!;
    if (row < 0 || row >= rows)
      throw failureIn(
        node.op,
        node.path,
      )(`index ${row} is not among the ${rows} rows of the table`);
    yield [at, row];
  }
}

const spelledOut = (): never => {
  throw internal('composites are spelled out before they are computed');
};
const same: Rule<Primitive> = (_, [x]) => x!.data;

export const rules: { [P in Primitive]: Rule<P> } = {
  input: ({ attrs }, _, { inputs }) => inputs.get(attrs.name)!,
  weight: ({ attrs }, _, { weights }) => weights.get(attrs.name)!,
  constant: (node) => {
    const out = make(node);
    const { data } = node.attrs;
    if (data.length === 1) out.fill(data[0]!);
    else out.set(data);
    return out;
  },

  neg: each((x) => -x),
  exp: each(Math.exp),
  log: each(Math.log),
  sqrt: each(Math.sqrt),
  sin: each(Math.sin),
  cos: each(Math.cos),
  tanh: each(Math.tanh),
  erf: each(erf),
  sigmoid: each((x) => 1 / (1 + Math.exp(-x))),
  abs: each(Math.abs),
  sign: each(Math.sign),

  add: looped((out, a, b) => {
    for (let i = 0; i < out.length; i++) out[i] = a[i]! + b[i]!;
  }),
  sub: looped((out, a, b) => {
    for (let i = 0; i < out.length; i++) out[i] = a[i]! - b[i]!;
  }),
  mul: multiply,
  div: divide,
  pow: pairwise(power),
  maximum: pairwise(Math.max),
  minimum: pairwise(Math.min),
  less: pairwise((a, b) => Number(a < b)),
  equal: pairwise((a, b) => Number(a === b)),
  where: (node, [condition, a, b]) => {
    const out = make(node);
    const [decides, then, otherwise] = [condition!.data, a!.data, b!.data];
    for (let i = 0; i < out.length; i++) out[i] = decides[i] ? then[i]! : otherwise[i]!;
    return out;
  },
  // Floats lose their fraction on the way to i32; everything but 0 is true.
  cast: (node, inputs, given) =>
    each(node.dtype === 'bool' ? (x) => Number(x !== 0) : (x) => x)(node, inputs, given),

  reduceSum: reduce(
    () => 0,
    (out, x) => (n, xAt, xStep, at, step) => {
      for (let i = 0; i < n; i++) out[at + i * step]! += x[xAt + i * xStep]!;
    },
  ),
  reduceMax: reduce(
    (dtype) => (dtype === 'i32' ? -(2 ** 31) : Number.NEGATIVE_INFINITY),
    (out, x) => (n, xAt, xStep, at, step) => {
      for (let i = 0; i < n; i++)
        out[at + i * step] = Math.max(out[at + i * step]!, x[xAt + i * xStep]!);
    },
  ),

  matmul: (node, [a, b]) => {
    const { transposeA, transposeB } = node.attrs;
    const [m, n] = node.shape.slice(-2) as [number, number];
    const k = a!.shape.at(transposeA ? -2 : -1)!;
    const [aRow, aColumn] = transposeA ? [1, m] : [k, 1];
    const [bRow, bColumn] = transposeB ? [1, k] : [n, 1];
    const out = make(node);
    for (let batch = 0; batch < out.length / (m * n); batch++)
      addProduct(
        { data: out, at: batch * m * n, row: n, column: 1 },
        { data: a!.data, at: batch * m * k, row: aRow, column: aColumn },
        { data: b!.data, at: batch * k * n, row: bRow, column: bColumn },
        [m, k, n],
      );
    return out;
  },
  conv2d: (node, [x, w]) => {
    const out = make(node);
    convolve([x!.shape, w!.shape, node.shape], node.attrs, x!.data, w!.data, out);
    return out;
  },
  conv2dGradInput: (node, [dy, w]) => {
    const out = make(node);
    convolveBack([node.shape, w!.shape, dy!.shape], node.attrs, out, w!.data, dy!.data);
    return out;
  },
  conv2dGradWeight: (node, [x, dy]) => {
    const out = make(node);
    convolveKernels([x!.shape, node.shape, dy!.shape], node.attrs, x!.data, out, dy!.data);
    return out;
  },

  reshape: same,
  permute: (node, [x]) => {
    const out = make(node);
    const strides = stridesOf(x!.shape);
    const from = { strides: node.attrs.axes.map((a) => strides[a]!) };
    copy(node.shape, x!.data, from, out, all(node.shape));
    return out;
  },
  broadcast: (node, [x]) => {
    const out = make(node);
    const from = { strides: stridesOf(x!.shape).map((s, i) => (x!.shape[i] === 1 ? 0 : s)) };
    copy(node.shape, x!.data, from, out, all(node.shape));
    return out;
  },
  pad: (node, [x]) => {
    const out = make(node);
    copy(x!.shape, x!.data, all(x!.shape), out, partOf(node.shape, node.attrs.low));
    return out;
  },
  slice: (node, [x]) => {
    const out = make(node);
    copy(node.shape, x!.data, partOf(x!.shape, node.attrs.start), out, all(node.shape));
    return out;
  },
  concat: (node, inputs) => {
    const out = make(node);
    let at = 0;
    for (const x of inputs) {
      const start = node.shape.map((_, i) => (i === node.attrs.axis ? at : 0));
      copy(x.shape, x.data, all(x.shape), out, partOf(node.shape, start));
      at += x.shape[node.attrs.axis]!;
    }
    return out;
  },
  gather: (node, [table, indices]) => {
    const out = make(node);
    const rows = table!.shape[0]!;
    const width = table!.data.length / rows;
    for (const [at, row] of rowsAt(indices!, rows, node))
      out.set(table!.data.subarray(row * width, (row + 1) * width), at * width);
    return out;
  },
  scatterAdd: (node, [updates, indices]) => {
    const out = make(node);
    const { rows } = node.attrs;
    const width = out.length / rows;
    for (const [at, row] of rowsAt(indices!, rows, node))
      for (let j = 0; j < width; j++) out[row * width + j]! += updates!.data[at * width + j]!;
    return out;
  },

  stopGradient: same,
  barrier: same,
  composite: spelledOut,
  part: spelledOut,
  custom: (node, inputs) =>
    callForEach(node, inputs as readonly (Value & { data: Float64Array })[]),
};

/** The value of `node`, from those of its inputs. */
export function compute(node: Node, inputs: readonly Value[], given: Given): Value {
  const rule = rules[node.op] as Rule<Primitive>;
  return { shape: node.shape, dtype: node.dtype, data: rule(node, inputs, given) };
}
