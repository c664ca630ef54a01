/** @file Composites and methods of Tensor under the names that the cases in functions.safetensors go by. */
import {
  attention,
  concat,
  geglu,
  gelu,
  groupNorm,
  layerNorm,
  quickGelu,
  silu,
  softmax,
  stack,
  type Tensor,
} from '../../src/index.ts';

type Options = Readonly<Record<string, unknown>>;
type Called = (inputs: Tensor[], options: Options) => Tensor | Tensor[];
const num = (options: Options, key: string) => options[key] as number;
const axes = (options: Options) => options.axes as number[] | undefined;
const keep = (options: Options) => ({ keepDims: options.keepDims === true });

export const functions: Readonly<Record<string, Called>> = {
  silu: ([x]) => silu(x!),
  gelu: ([x]) => gelu(x!),
  quickGelu: ([x]) => quickGelu(x!),
  geglu: ([x]) => geglu(x!),
  softmax: ([x], o) => softmax(x!, num(o, 'axis')),
  attention: ([q, k, v], o) =>
    attention(q!, k!, v!, o as { heads: number; scale?: number; causal?: boolean }),
  layerNorm: ([x, gamma, beta], o) => layerNorm(x!, gamma!, beta!, num(o, 'eps')),
  groupNorm: ([x, gamma, beta], o) =>
    groupNorm(x!, gamma!, beta!, { groups: num(o, 'groups'), eps: num(o, 'eps') }),

  add: ([a, b]) => a!.add(b!),
  sub: ([a, b]) => a!.sub(b!),
  mul: ([a, b]) => a!.mul(b!),
  div: ([a, b]) => a!.div(b!),
  pow: ([a, b]) => a!.pow(b!),
  powBy: ([a], o) => a!.pow(num(o, 'exponent')),
  maximum: ([a, b]) => a!.maximum(b!),
  minimum: ([a, b]) => a!.minimum(b!),
  less: ([a, b]) => a!.less(b!),
  greater: ([a, b]) => a!.greater(b!),
  equal: ([a, b]) => a!.equal(b!),
  where: ([c, a, b]) => c!.where(a!, b!),
  whereNumber: ([c, a], o) => c!.where(a!, num(o, 'otherwise')),
  rsqrt: ([x]) => x!.rsqrt(),
  reciprocal: ([x]) => x!.reciprocal(),
  square: ([x]) => x!.square(),
  relu: ([x]) => x!.relu(),
  clamp: ([x], o) => x!.clamp(num(o, 'low'), num(o, 'high')),
  sum: ([x], o) => x!.sum(axes(o), keep(o)),
  mean: ([x], o) => x!.mean(axes(o), keep(o)),
  max: ([x], o) => x!.max(axes(o), keep(o)),
  matmul: ([a, b], o) => a!.matmul(b!, o),
  reshape: ([x], o) => x!.reshape(o.shape as number[]),
  permute: ([x], o) => x!.permute(axes(o)!),
  transpose: ([x]) => x!.transpose(),
  broadcastTo: ([x], o) => x!.broadcastTo(o.shape as number[]),
  unsqueeze: ([x], o) => x!.unsqueeze(num(o, 'axis')),
  squeeze: ([x], o) => x!.squeeze(num(o, 'axis')),
  pad: ([x], o) => x!.pad(o.widths as [number, number][]),
  slice: ([x], o) => x!.slice(num(o, 'axis'), num(o, 'start'), num(o, 'end')),
  chunk: ([x], o) => x!.chunk(num(o, 'parts'), num(o, 'axis')),
  gather: ([x, indices]) => x!.gather(indices!),
  concat: (inputs, o) => concat(inputs, num(o, 'axis')),
  stack: (inputs, o) => stack(inputs, num(o, 'axis')),
};
