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

const halves = (e: Emitter, x: Name): [Name, Name] =>
  e.nodeWith(2, 'Split', [x], { attributes: { axis: -1, num_outputs: 2 } }) as [Name, Name];

/** dy (Phi(x) + x phi(x)), with z = x / sqrt(2): dy (1 + erf(z) + 2 z exp(-z z) / sqrt(pi)) / 2 */
function geluGradient(e: Emitter, dy: Name, x: Name): Name {
  const z = e.node('Mul', [x, e.f32(Math.SQRT1_2)]);
  const bell = e.node('Exp', [e.node('Neg', [e.node('Mul', [z, z])])]);
  const slope = e.node('Mul', [e.node('Mul', [z, bell]), e.f32(2 / Math.sqrt(Math.PI))]);
  const twice = e.node('Add', [e.node('Add', [e.node('Erf', [z]), slope]), e.f32(1)]);
  return e.node('Mul', [e.node('Mul', [twice, dy]), e.f32(0.5)]);
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
  geluGrad: ({ inputs, at }) => [geluGradient(at.emit, at.value(inputs[0]!), at.value(inputs[1]!))],
  geglu: ({ inputs, at }) => {
    const e = at.emit;
    const [value, gate] = halves(e, at.value(inputs[0]!));
    return [e.node('Mul', [value, e.node('Gelu', [gate], { domain: MS })])];
  },
  gegluGrad: ({ inputs, at }) => {
    const e = at.emit;
    const dy = at.value(inputs[0]!);
    const [value, gate] = halves(e, at.value(inputs[1]!));
    const dvalue = e.node('Mul', [dy, e.node('Gelu', [gate], { domain: MS })]);
    const dgate = geluGradient(e, e.node('Mul', [dy, value]), gate);
    return [e.node('Concat', [dvalue, dgate], { attributes: { axis: -1 } })];
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
