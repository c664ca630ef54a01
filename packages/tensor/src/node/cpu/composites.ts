/** @file Composites that ONNX Runtime has a kernel for, or that are cheaper spelled in its operators than in primitives. */
import {
  type NodeId,
  type Options,
  type Shape,
  sizeOf,
  type TensorType,
} from '../../graph/types.ts';
import type { Emitter, Name } from './emit.ts';
import type { Lowering } from './lower.ts';

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

export const compositeLowerings: Readonly<Record<string, CompositeLowering>> = {
  silu: ({ inputs, options, at }) => [
    at.emit.node('QuickGelu', [at.value(inputs[0]!)], {
      domain: MS,
      attributes: { alpha: { float: number(options, 'alpha') } },
    }),
  ],
  gelu: ({ inputs, at }) => [at.emit.node('Gelu', [at.value(inputs[0]!)], { domain: MS })],
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
    const ones = e.node('Expand', [e.f32([1]), e.i64([length])]);
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
  attention: ({ inputs, options, outputs, at }) => {
    const heads = number(options, 'heads');
    const attributes = {
      num_heads: heads,
      scale: { float: number(options, 'scale') },
      unidirectional: Number(options.causal),
    };
    void outputs;
    return [
      at.emit.node(
        'MultiHeadAttention',
        inputs.map((i) => at.value(i)),
        { domain: MS, attributes },
      ),
    ];
  },
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
