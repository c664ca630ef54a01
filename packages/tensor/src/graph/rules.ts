/** @file The type of every primitive's result, with the checks that its inputs fit: one exhaustive table. */
import { failureIn, internal, type UserError } from '../errors.ts';
import {
  type Attributes,
  type ConvAttributes,
  type DType,
  type Primitive,
  type Shape,
  sameShape,
  showShape,
  sizeOf,
  type TensorType,
} from './types.ts';

type Rule<A> = (
  inputs: readonly TensorType[],
  attrs: A,
  fail: (why: string) => UserError,
) => TensorType;

const elementwise: Rule<object> = ([x], _, fail) => {
  if (x!.dtype !== 'f32') throw fail(`needs f32, got ${x!.dtype}`);
  return x!;
};
/** Throws unless the tensor holds numbers to compute with. */
const refuseCodes = ({ dtype }: TensorType, fail: (why: string) => UserError): void => {
  if (dtype === 'bool' || dtype === 'u8') throw fail(`does not work on ${dtype}; cast first`);
};
const binary: Rule<object> = ([a, b], _, fail) => {
  sameTypes([a!, b!], fail);
  refuseCodes(a!, fail);
  return a!;
};
const less: Rule<object> = (inputs, attrs, fail) => ({
  shape: binary(inputs, attrs, fail).shape,
  dtype: 'bool',
});
const equal: Rule<object> = ([a, b], _, fail) => {
  sameTypes([a!, b!], fail);
  if (a!.dtype === 'u8') throw fail('does not work on u8; cast first');
  return { shape: a!.shape, dtype: 'bool' };
};
const reduction: Rule<Attributes['reduceSum']> = ([x], { axes }, fail) => {
  if (axes.some((a, i) => a < 0 || a >= x!.shape.length || (i > 0 && axes[i - 1]! >= a)))
    throw fail(
      `axes ${showShape(axes)} of a tensor ${showShape(x!.shape)} are not ascending and within its rank`,
    );
  refuseCodes(x!, fail);
  return { shape: x!.shape.map((d, i) => (axes.includes(i) ? 1 : d)), dtype: x!.dtype };
};

/** Length of a convolution's output along one axis. */
export const convLength = (
  length: number,
  kernel: number,
  stride: number,
  before: number,
  after: number,
): number => Math.floor((length + before + after - kernel) / stride) + 1;
const convSize = (
  [h, w]: readonly [number, number],
  [kh, kw]: readonly [number, number],
  { stride, padding: [t, l, b, r] }: ConvAttributes,
): [number, number] => [convLength(h, kh, stride[0], t, b), convLength(w, kw, stride[1], l, r)];

/** Throws unless all operands are f32 and of rank 4, and the strides and paddings make sense. */
const checkConv = (
  operands: readonly TensorType[],
  { stride, padding }: ConvAttributes,
  fail: (why: string) => UserError,
): void => {
  const described = operands.map((t) => `${t.dtype} ${showShape(t.shape)}`).join(' and ');
  if (operands.some((t) => t.dtype !== 'f32' || t.shape.length !== 4))
    throw fail(`needs f32 tensors of rank 4 ([N,C,H,W] and [O,C,kh,kw]), got ${described}`);
  const whole = (least: number) => (n: number) => Number.isInteger(n) && n >= least;
  if (stride.length !== 2 || !stride.every(whole(1)))
    throw fail(`the stride must be two integers from 1 upward, got ${showShape(stride)}`);
  if (padding.length !== 4 || !padding.every(whole(0)))
    throw fail(
      `the padding must be four integers from 0 upward (top, left, bottom, right), got ${showShape(padding)}`,
    );
};

const rules: { [P in Primitive]: Rule<Attributes[P]> } = {
  input: (_, { type }) => type,
  weight: (_, { shape }) => ({ shape, dtype: 'f32' }),
  constant: (_, { data, type }, fail) => {
    if (data.length !== 1 && data.length !== sizeOf(type.shape))
      throw fail(`${data.length} numbers do not fill ${showShape(type.shape)}`);
    return type;
  },
  neg: elementwise,
  exp: elementwise,
  log: elementwise,
  sqrt: elementwise,
  sin: elementwise,
  cos: elementwise,
  tanh: elementwise,
  erf: elementwise,
  sigmoid: elementwise,
  abs: elementwise,
  sign: elementwise,
  add: binary,
  sub: binary,
  mul: binary,
  div: binary,
  pow: binary,
  maximum: binary,
  minimum: binary,
  less,
  equal,
  where: ([c, a, b], _, fail) => {
    if (c!.dtype !== 'bool') throw fail(`needs a bool condition, got ${c!.dtype}`);
    sameTypes([a!, b!], fail);
    if (!sameShape(c!.shape, a!.shape))
      throw fail(
        `condition ${showShape(c!.shape)} and values ${showShape(a!.shape)} differ in shape`,
      );
    return a!;
  },
  cast: ([x], { dtype }, fail) => {
    const types = [x!.dtype, dtype];
    if (types.includes('u8') && types.some((type) => type !== 'u8' && type !== 'i32'))
      throw fail(`u8 is cast from and to i32 only, not from ${x!.dtype} to ${dtype}`);
    return { shape: x!.shape, dtype };
  },
  reduceSum: reduction,
  reduceMax: reduction,
  matmul: ([a, b], { transposeA, transposeB }, fail) => {
    const rank = a!.shape.length;
    const describe = `${showShape(a!.shape)}${transposeA ? ' transposed' : ''} x ${showShape(b!.shape)}${transposeB ? ' transposed' : ''}`;
    if (a!.dtype !== 'f32' || b!.dtype !== 'f32')
      throw fail(`needs f32, got ${a!.dtype} x ${b!.dtype}`);
    if (
      rank < 2 ||
      b!.shape.length !== rank ||
      !sameShape(a!.shape.slice(0, -2), b!.shape.slice(0, -2))
    )
      throw fail(`cannot multiply ${describe}: leading axes differ`);
    const [m, k] = transposeA
      ? [a!.shape[rank - 1]!, a!.shape[rank - 2]!]
      : [a!.shape[rank - 2]!, a!.shape[rank - 1]!];
    const [k2, n] = transposeB
      ? [b!.shape[rank - 1]!, b!.shape[rank - 2]!]
      : [b!.shape[rank - 2]!, b!.shape[rank - 1]!];
    if (k !== k2) throw fail(`cannot multiply ${describe}: inner lengths ${k} and ${k2} differ`);
    return { shape: [...a!.shape.slice(0, -2), m, n], dtype: 'f32' };
  },
  conv2d: ([x, w], attrs, fail) => {
    checkConv([x!, w!], attrs, fail);
    const [n, c, h, width] = x!.shape as [number, number, number, number];
    const [o, c2, kh, kw] = w!.shape as [number, number, number, number];
    if (c !== c2)
      throw fail(`input has ${c} channels, the kernel ${showShape(w!.shape)} expects ${c2}`);
    const [oh, ow] = convSize([h, width], [kh, kw], attrs);
    if (oh < 1 || ow < 1)
      throw fail(
        `a ${kh}x${kw} kernel does not fit into ${showShape(x!.shape)} padded by ${attrs.padding.join(',')}`,
      );
    return { shape: [n, o, oh, ow], dtype: 'f32' };
  },
  conv2dGradInput: ([dy, w], attrs, fail) => {
    checkConv([dy!, w!], attrs, fail);
    const [n, o, oh, ow] = dy!.shape as [number, number, number, number];
    const [o2, c, kh, kw] = w!.shape as [number, number, number, number];
    if (o !== o2 || !sameShape(convSize(attrs.size, [kh, kw], attrs), [oh, ow]))
      throw fail(
        `cotangent ${showShape(dy!.shape)} does not belong to kernel ${showShape(w!.shape)} on ${attrs.size.join('x')}`,
      );
    return { shape: [n, c, ...attrs.size], dtype: 'f32' };
  },
  conv2dGradWeight: ([x, dy], attrs, fail) => {
    checkConv([x!, dy!], attrs, fail);
    const [n, c, h, width] = x!.shape as [number, number, number, number];
    const [n2, o, oh, ow] = dy!.shape as [number, number, number, number];
    if (n !== n2 || !sameShape(convSize([h, width], attrs.kernel, attrs), [oh, ow]))
      throw fail(
        `cotangent ${showShape(dy!.shape)} does not belong to input ${showShape(x!.shape)}`,
      );
    return { shape: [o, c, ...attrs.kernel], dtype: 'f32' };
  },
  reshape: ([x], { shape }, fail) => {
    if (sizeOf(shape) !== sizeOf(x!.shape))
      throw fail(
        `cannot see ${showShape(x!.shape)} as ${showShape(shape)}: ${sizeOf(x!.shape)} and ${sizeOf(shape)} elements`,
      );
    return { shape, dtype: x!.dtype };
  },
  permute: ([x], { axes }, fail) => {
    if (axes.length !== x!.shape.length || [...axes].sort((p, q) => p - q).some((a, i) => a !== i))
      throw fail(`${showShape(axes)} is no order of the axes of ${showShape(x!.shape)}`);
    return { shape: axes.map((a) => x!.shape[a]!), dtype: x!.dtype };
  },
  broadcast: ([x], { shape }, fail) => {
    if (shape.length !== x!.shape.length || x!.shape.some((d, i) => d !== 1 && d !== shape[i]))
      throw fail(`cannot repeat ${showShape(x!.shape)} to ${showShape(shape)}`);
    return { shape, dtype: x!.dtype };
  },
  pad: ([x], { low, high }, fail) => {
    if (
      low.length !== x!.shape.length ||
      high.length !== x!.shape.length ||
      [...low, ...high].some((p) => p < 0)
    )
      throw fail(
        `padding ${showShape(low)}, ${showShape(high)} does not fit ${showShape(x!.shape)}`,
      );
    return { shape: x!.shape.map((d, i) => d + low[i]! + high[i]!), dtype: x!.dtype };
  },
  slice: ([x], { start, end }, fail) => {
    if (
      start.length !== x!.shape.length ||
      end.length !== x!.shape.length ||
      x!.shape.some((d, i) => start[i]! < 0 || end[i]! > d || start[i]! >= end[i]!)
    )
      throw fail(`cannot take ${showShape(start)} to ${showShape(end)} of ${showShape(x!.shape)}`);
    return { shape: start.map((s, i) => end[i]! - s), dtype: x!.dtype };
  },
  concat: (inputs, { axis }, fail) => {
    const first = inputs[0]!;
    if (!Number.isInteger(axis) || axis < 0 || axis >= first.shape.length)
      throw fail(`there is no axis ${axis} in a tensor of rank ${first.shape.length}`);
    for (const t of inputs)
      if (
        t.dtype !== first.dtype ||
        t.shape.length !== first.shape.length ||
        t.shape.some((d, i) => i !== axis && d !== first.shape[i])
      )
        throw fail(
          `cannot join ${inputs.map((i) => showShape(i.shape)).join(', ')} along axis ${axis}`,
        );
    return {
      shape: first.shape.map((d, i) =>
        i === axis ? inputs.reduce((n, t) => n + t.shape[axis]!, 0) : d,
      ),
      dtype: first.dtype,
    };
  },
  gather: ([table, indices], _, fail) => {
    if (indices!.dtype !== 'i32') throw fail(`indices must be i32, got ${indices!.dtype}`);
    if (table!.shape.length < 1) throw fail('needs a table with at least one axis');
    return { shape: [...indices!.shape, ...table!.shape.slice(1)], dtype: table!.dtype };
  },
  scatterAdd: ([updates, indices], { rows }, fail) => {
    refuseCodes(updates!, fail);
    if (
      indices!.dtype !== 'i32' ||
      !sameShape(updates!.shape.slice(0, indices!.shape.length), indices!.shape)
    )
      throw fail(
        `updates ${showShape(updates!.shape)} do not belong to indices ${showShape(indices!.shape)}`,
      );
    return { shape: [rows, ...updates!.shape.slice(indices!.shape.length)], dtype: updates!.dtype };
  },
  stopGradient: ([x]) => x!,
  barrier: ([x]) => x!,
  composite: (_, { outputs }) => outputs[0]!,
  part: () => {
    throw internal('the type of a part comes from its composite');
  },
  custom: (_, { shape }) => ({ shape, dtype: 'f32' }),
};

function sameTypes(
  [a, b]: readonly [TensorType, TensorType],
  fail: (why: string) => UserError,
): void {
  if (!sameShape(a.shape, b.shape))
    throw fail(`shapes ${showShape(a.shape)} and ${showShape(b.shape)} differ`);
  if (a.dtype !== b.dtype) throw fail(`types ${a.dtype} and ${b.dtype} differ`);
}

/** The type of `op`'s result. Throws UserError, naming operation, shapes and layer, where the inputs do not fit. */
export function typeOf<P extends Primitive>(
  op: P,
  inputs: readonly TensorType[],
  attrs: Attributes[P],
  path: string,
): TensorType {
  const name = 'name' in attrs ? ` ${attrs.name}` : '';
  const fail = failureIn(`${op}${name}`, path);
  const type = rules[op](inputs, attrs, fail);
  if (type.shape.some((d: number) => !Number.isInteger(d) || d < 1))
    throw fail(
      `would make a tensor ${showShape(type.shape)}; every axis needs at least one element`,
    );
  return type;
}

export const bytesOf = ({ shape, dtype }: { shape: Shape; dtype: DType }): number =>
  sizeOf(shape) * (dtype === 'bool' || dtype === 'u8' ? 1 : 4);
