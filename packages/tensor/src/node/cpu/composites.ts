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
const meanOver = (e: Emitter, x: Name, axes: readonly number[]): Name =>
  e.node('ReduceMean', [x, e.i64(axes)]);

/** g - mean(g) - h mean(g h), the inner part of every normalisation's gradient, over the last axis. */
function centredGradient(e: Emitter, g: Name, h: Name): Name {
  const inner = e.node('Sub', [g, meanOver(e, g, [-1])]);
  return e.node('Sub', [inner, e.node('Mul', [h, meanOver(e, e.node('Mul', [g, h]), [-1])])]);
}

/** Both halves along the last axis. */
const halves = (at: Lowering, id: NodeId): readonly [Name, Name] =>
  at.halves(id) ??
  (at.emit.nodeWith(2, 'Split', [at.value(id)], {
    attributes: { axis: -1, num_outputs: 2 },
  }) as [Name, Name]);

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

/** (dy, x [..., 2n]) -> the cotangents of both halves of x. */
export function gegluGradient(at: Lowering, inputs: readonly NodeId[]): [Name, Name] {
  const e = at.emit;
  const dy = at.value(inputs[0]!);
  const [value, gate] = halves(at, inputs[1]!);
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
  gegluGrad: ({ inputs, at }) => [
    at.emit.node('Concat', gegluGradient(at, inputs), { attributes: { axis: -1 } }),
  ],
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
    const [dy, x, gamma, mean, invStd] = inputs.map((i) => at.value(i));
    const h = e.node('Mul', [e.node('Sub', [x!, mean!]), invStd!]);
    return [e.node('Mul', [centredGradient(e, e.node('Mul', [dy!, gamma!]), h), invStd!])];
  },
  groupNorm: ({ inputs, options, at }) => {
    const e = at.emit;
    const shape = shapeOf(at, inputs[0]!);
    const x = at.value(inputs[0]!);
    const { grouped, perChannel, length } = groupShapes(shape, number(options, 'groups'));
    const ones = e.f32(new Array<number>(length).fill(1));
    const [h, mean, invStd] = e.nodeWith(3, 'LayerNormalization', [e.reshape(x, grouped), ones], {
      attributes: { axis: -1, epsilon: { float: number(options, 'eps') } },
    });
    const scaled = e.node('Mul', [e.reshape(h!, shape), at.reshaped(inputs[1]!, perChannel)]);
    return [e.node('Add', [scaled, at.reshaped(inputs[2]!, perChannel)]), mean!, invStd!];
  },
  groupNormGrad: ({ inputs, options, at }) => {
    const e = at.emit;
    const shape = shapeOf(at, inputs[0]!);
    const [dy, x, , mean, invStd] = inputs.map((i, k) => (k === 2 ? '' : at.value(i)));
    const { grouped, perChannel } = groupShapes(shape, number(options, 'groups'));
    const g = e.reshape(e.node('Mul', [dy!, at.reshaped(inputs[2]!, perChannel)]), grouped);
    const h = e.node('Mul', [e.node('Sub', [e.reshape(x!, grouped), mean!]), invStd!]);
    return [e.reshape(e.node('Mul', [centredGradient(e, g, h), invStd!]), shape)];
  },
  attention: ({ inputs, options, at }) => [emitAttention(at, inputs, options)],
  attentionGrad: ({ inputs, options, at }) => emitAttentionGrad(at, inputs, options),
};

function groupShapes(
  shape: Shape,
  groups: number,
): { grouped: number[]; perChannel: number[]; length: number } {
  const [n, c] = shape as [number, number];
  const length = sizeOf(shape) / n / groups;
  return {
    grouped: [n, groups, length],
    perChannel: [1, c, ...shape.slice(2).map(() => 1)],
    length,
  };
}
