/** @file Composites that ONNX Runtime has a kernel for, or that are cheaper spelled in its operators than in primitives. */
import {
  type NodeId,
  type Options,
  type Shape,
  sizeOf,
  type TensorType,
} from '../../graph/types.ts';
import { emitAttention, emitAttentionGrad } from './attention.ts';
import type { Emitter, Name } from './emit.ts';
import type { Lowering } from './lowering.ts';

export type CompositeLowering = (call: {
  inputs: readonly NodeId[];
  options: Options;
  outputs: readonly TensorType[];
  at: Lowering;
}) => Name[];

const MS = 'com.microsoft' as const;
const shapeOf = (at: Lowering, id: NodeId): Shape => at.node(id).shape;
const number = (options: Options, key: string): number => options[key] as number;
/** (x - mean) scale + bias of x [N, C, L], with scale, bias and mean [C]: one pass by one thread, where broadcasting takes a pass for each, by all of them. */
function affine(
  at: Lowering,
  x: Name,
  channels: number,
  { scale, bias, mean }: { scale: Name; bias?: Name; mean?: Name },
): Name {
  const e = at.emit;
  if (at.oneThread) {
    const all = (value: number): Name => e.f32(new Array<number>(channels).fill(value));
    const stats = [scale, bias ?? all(0), mean ?? all(0), all(1)];
    return e.node('BatchNormalization', [x, ...stats], { attributes: { epsilon: { float: 0 } } });
  }
  const along = (name: Name): Name => e.reshape(name, [channels, 1]);
  const centred = mean === undefined ? x : e.node('Sub', [x, along(mean)]);
  const scaled = e.node('Mul', [centred, along(scale)]);
  return bias === undefined ? scaled : e.node('Add', [scaled, along(bias)]);
}

/** g - mean(g) - h mean(g h), the inner part of every normalisation's gradient, over the last axis of g and x [1, R, L], where h is x normalised with mean and invStd [R]. */
function centredGradient(
  at: Lowering,
  g: Name,
  x: Name,
  { rows, mean, invStd }: { rows: number; mean: Name; invStd: Name },
): Name {
  const e = at.emit;
  const ofRows = (rowsOf: Name): Name =>
    e.node('ReduceMean', [rowsOf, e.i64([0, 2])], { attributes: { keepdims: 0 } });
  const h = affine(at, x, rows, { scale: invStd, mean });
  const scale = ofRows(e.node('Mul', [g, h]));
  return e.node('Sub', [g, affine(at, h, rows, { scale, bias: ofRows(g) })]);
}

/** Both halves along the last axis. */
function halves(at: Lowering, id: NodeId): readonly [Name, Name] {
  const e = at.emit;
  const apart = at.halves(id)?.[0];
  if (!apart)
    return e.nodeWith(2, 'Split', [at.value(id)], {
      attributes: { axis: -1, num_outputs: 2 },
    }) as [Name, Name];
  const shape = shapeOf(at, id);
  const half = [...shape.slice(0, -1), shape[shape.length - 1]! / 2];
  return [e.reshape(apart[0], half), e.reshape(apart[1], half)];
}

/** Phi(x) + x phi(x), the derivative of x Phi(x), with z = x / sqrt(2) and Phi(x) = (1 + erf(z)) / 2 */
function geluSlope(e: Emitter, x: Name): { cumulative: Name; slope: Name } {
  const z = e.node('Mul', [x, e.f32(Math.SQRT1_2)]);
  // Between 0 and 1, where this operator cuts nothing off: one pass for a product and a sum.
  const cumulative = e.node('HardSigmoid', [e.node('Erf', [z])], {
    attributes: { alpha: { float: 0.5 }, beta: { float: 0.5 } },
  });
  // x phi(x) = z exp(-z z) / sqrt(pi)
  const exponent = e.node('Sub', [e.f32(-Math.log(Math.PI) / 2), e.node('Mul', [z, z])]);
  const bell = e.node('Mul', [z, e.node('Exp', [exponent])]);
  return { cumulative, slope: e.node('Add', [cumulative, bell]) };
}

/** The cotangents of both halves that a gated unit multiplies, each of the shape of dy. */
export function gegluGradient(
  e: Emitter,
  dy: Name,
  [value, gate]: readonly [Name, Name],
): [Name, Name] {
  const { cumulative, slope } = geluSlope(e, gate);
  const dvalue = e.node('Mul', [dy, e.node('Mul', [gate, cumulative])]);
  return [dvalue, e.node('Mul', [e.node('Mul', [dy, value]), slope])];
}

export const compositeLowerings: Readonly<Record<string, CompositeLowering>> = {
  silu: ({ inputs, options, at }) => [
    at.emit.node('QuickGelu', [at.value(inputs[0]!)], {
      domain: MS,
      attributes: { alpha: { float: number(options, 'alpha') } },
    }),
  ],
  siluGrad: ({ inputs, options, at }) => {
    const e = at.emit;
    const [dy, x] = inputs.map((i) => at.value(i));
    const alpha = number(options, 'alpha');
    const z = alpha === 1 ? x! : e.node('Mul', [x!, e.f32(alpha)]);
    const s = e.node('Sigmoid', [z]);
    const inner = e.node('Add', [e.node('Sub', [z, e.node('Mul', [z, s])]), e.f32(1)]);
    return [e.node('Mul', [e.node('Mul', [s, inner]), dy!])];
  },
  gelu: ({ inputs, at }) => [at.emit.node('Gelu', [at.value(inputs[0]!)], { domain: MS })],
  geluGrad: ({ inputs, at }) => {
    const { slope } = geluSlope(at.emit, at.value(inputs[1]!));
    return [at.emit.node('Mul', [at.value(inputs[0]!), slope])];
  },
  geglu: ({ inputs, at }) => {
    const e = at.emit;
    const [value, gate] = halves(at, inputs[0]!);
    return [e.node('Mul', [value, e.node('Gelu', [gate], { domain: MS })])];
  },
  gegluGrad: ({ inputs, at }) => {
    const both = gegluGradient(at.emit, at.value(inputs[0]!), halves(at, inputs[1]!));
    return [at.emit.node('Concat', both, { attributes: { axis: -1 } })];
  },
  softmax: ({ inputs, options, at }) => [
    at.emit.node('Softmax', [at.value(inputs[0]!)], {
      attributes: { axis: number(options, 'axis') },
    }),
  ],
  layerNorm: ({ inputs, options, at }) => {
    const [x, gamma, beta] = inputs.map((i) => at.value(i));
    return at.emit.nodeWith(3, 'LayerNormalization', [x!, gamma!, beta!], {
      attributes: { axis: -1, epsilon: { float: number(options, 'eps') } },
    });
  },
  layerNormGrad: ({ inputs, at }) => {
    const e = at.emit;
    const shape = shapeOf(at, inputs[0]!);
    const length = shape[shape.length - 1]!;
    const rows = sizeOf(shape) / length;
    const flat = (id: NodeId): Name => e.reshape(at.value(id), [1, rows, length]);
    const g = e.node('Mul', [flat(inputs[0]!), at.value(inputs[2]!)]);
    const stat = (id: NodeId): Name => e.reshape(at.value(id), [rows]);
    const stats = { rows, mean: stat(inputs[3]!), invStd: stat(inputs[4]!) };
    const inner = centredGradient(at, g, flat(inputs[1]!), stats);
    return [e.node('Mul', [e.reshape(inner, shape), at.value(inputs[4]!)])];
  },
  groupNorm: ({ inputs, options, at }) => {
    const e = at.emit;
    const shape = shapeOf(at, inputs[0]!);
    const x = at.value(inputs[0]!);
    const groups = number(options, 'groups');
    const [n, c] = shape as [number, number];
    const length = sizeOf(shape) / n / groups;
    const ones = e.f32(new Array<number>(length).fill(1));
    const [h, mean, invStd] = e.nodeWith(
      3,
      'LayerNormalization',
      [e.reshape(x, [n, groups, length]), ones],
      {
        attributes: { axis: -1, epsilon: { float: number(options, 'eps') } },
      },
    );
    const y = affine(at, e.reshape(h!, [n, c, (length * groups) / c]), c, {
      scale: at.value(inputs[1]!),
      bias: at.value(inputs[2]!),
    });
    return [e.reshape(y, shape), mean!, invStd!];
  },
  groupNormGrad: ({ inputs, options, at }) => {
    const e = at.emit;
    const shape = shapeOf(at, inputs[0]!);
    const groups = number(options, 'groups');
    const [n, c] = shape as [number, number];
    const rows = n * groups;
    const flat = (x: Name): Name => e.reshape(x, [1, rows, sizeOf(shape) / rows]);
    const invStd = at.value(inputs[4]!);
    // By both factors at once: what follows is linear.
    const scale = e.node('Mul', [at.reshaped(inputs[2]!, [1, groups, c / groups]), invStd]);
    const scales = e.reshape(scale, [n, c, ...shape.slice(2).map(() => 1)]);
    const g = flat(e.node('Mul', [at.value(inputs[0]!), scales]));
    const stat = (id: NodeId): Name => e.reshape(at.value(id), [rows]);
    const stats = { rows, mean: stat(inputs[3]!), invStd: stat(inputs[4]!) };
    return [e.reshape(centredGradient(at, g, flat(at.value(inputs[1]!)), stats), shape)];
  },
  attention: ({ inputs, options, at }) => [emitAttention(at, inputs, options)],
  attentionGrad: ({ inputs, options, at }) => emitAttentionGrad(at, inputs, options),
};
