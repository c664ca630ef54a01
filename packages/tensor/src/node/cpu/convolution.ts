/** @file Which operators a convolution and its gradients become, by shape. Measured figures: docs/decisions/0001-one-onnx-graph.md. */
import type { ConvAttributes, NodeId } from '../../graph/types.ts';
import type { Name } from './emit.ts';
import { emitGathered, gatheredOrder } from './gathered.ts';
import type { Lowering, Size4 } from './lowering.ts';
import { emitInTiles, isFasterInTiles } from './winograd.ts';

type GradInputAttributes = ConvAttributes & { readonly size: readonly [number, number] };

/**
 * How a convolution is computed: by ONNX Runtime's own operator; picture and taps gathered into rows, as one matrix product over the whole batch; or in tiles. The latter two need a copy of
 * the kernel in another order.
 */
export type ConvLowering = 'conv' | 'gathered' | 'tiles';
/** How the gradient of its input is computed. */
export type GradInputLowering = 'pointwise' | 'convTranspose' | 'gathered' | 'tiles';

/** Pixels of one picture of the result up to which one product over the batch beats ONNX Runtime's convolution, which goes picture by picture. */
const SMALL = 64;

export const isPointwise = ([, , kh, kw]: Size4, { stride, padding }: ConvAttributes): boolean =>
  kh === 1 && kw === 1 && stride.every((s) => s === 1) && padding.every((p) => p === 0);
const isUnitStride = ({ stride }: ConvAttributes): boolean => stride.every((s) => s === 1);
/** Whether the gradient is a convolution with the kernel's taps in reverse. */
const isMirrorable = ([, , kh, kw]: Size4, attrs: ConvAttributes): boolean =>
  isUnitStride(attrs) && attrs.padding.every((pad, side) => pad < (side % 2 === 0 ? kh : kw));

const isSmallBatch = ([n, , h, w]: Size4): boolean => n > 1 && h * w <= SMALL;

/** `output` [N,O,H',W'], `kernel` [O,C,kh,kw] */
export function convLowering(output: Size4, kernel: Size4, attrs: ConvAttributes): ConvLowering {
  if (isFasterInTiles(output, kernel, attrs)) return 'tiles';
  return isSmallBatch(output) && !isPointwise(kernel, attrs) ? 'gathered' : 'conv';
}

/** `cotangent` [N,O,H',W'], `kernel` [O,C,kh,kw] */
export function gradInputLowering(
  cotangent: Size4,
  kernel: Size4,
  attrs: GradInputAttributes,
): GradInputLowering {
  if (isPointwise(kernel, attrs)) return 'pointwise';
  if (isFasterInTiles(cotangent, kernel, attrs)) return 'tiles';
  const [n] = cotangent;
  // Most taps of a gradient with strides are zeros.
  const most = isUnitStride(attrs) ? SMALL : SMALL / 4;
  return n > 1 && attrs.size[0] * attrs.size[1] <= most ? 'gathered' : 'convTranspose';
}

const size4 = (at: Lowering, id: NodeId): Size4 => at.node(id).shape as unknown as Size4;

/** x [N,C,H,W], w [O,C,kh,kw] (and bias [O]) -> [N,O,H',W'] */
export function emitConv(
  at: Lowering,
  x: NodeId,
  w: NodeId,
  bias: Name | undefined,
  attrs: ConvAttributes,
  output: Size4,
): Name {
  const e = at.emit;
  const kernel = size4(at, w);
  const [, , kh, kw] = kernel;
  const lowering = convLowering(output, kernel, attrs);
  if (lowering === 'tiles') {
    const tiles = at.rearranged(w, 'tiles');
    if (tiles !== undefined)
      return emitInTiles(e, at.value(x), size4(at, x), {
        kernel: tiles,
        channels: kernel[0],
        gradient: false,
        bias,
      });
  }
  const copy = lowering === 'gathered' ? at.rearranged(w, gatheredOrder(output, false)) : undefined;
  if (copy !== undefined) {
    const [top, left] = attrs.padding;
    return emitGathered(e, at.value(x), size4(at, x), copy, bias, output, {
      kernel: [kh, kw],
      offset: [top, left],
      step: attrs.stride,
    });
  }
  const inputs = [at.value(x), at.value(w), ...(bias === undefined ? [] : [bias])];
  return e.node('Conv', inputs, {
    attributes: { kernel_shape: [kh, kw], strides: attrs.stride, pads: attrs.padding },
  });
}

/** dy [N,O,H',W'], w [O,C,kh,kw] -> dx [N,C,H,W] */
export function emitConvGradInput(
  at: Lowering,
  dy: NodeId,
  w: NodeId,
  attrs: GradInputAttributes,
): Name {
  const e = at.emit;
  const kernel = size4(at, w);
  const cotangent = size4(at, dy);
  const [o, c, kh, kw] = kernel;
  const [n, , oh, ow] = cotangent;
  const lowering = gradInputLowering(cotangent, kernel, attrs);
  if (lowering === 'pointwise') {
    const flat = e.reshape(at.value(dy), [n, o, oh * ow]);
    const product = e.matmul(at.reshaped(w, [1, o, c]), flat, { transA: true });
    return e.reshape(product, [n, c, ...attrs.size]);
  }
  const [top, left, bottom, right] = attrs.padding;
  if (lowering === 'tiles') {
    const tiles = at.rearranged(w, 'tiles');
    if (tiles !== undefined)
      return emitInTiles(e, at.value(dy), cotangent, {
        kernel: tiles,
        channels: c,
        gradient: true,
      });
  }
  const result: Size4 = [n, c, ...attrs.size];
  const copy = lowering === 'gathered' ? at.rearranged(w, gatheredOrder(result, true)) : undefined;
  if (copy !== undefined)
    return emitGathered(e, at.value(dy), cotangent, copy, undefined, result, {
      kernel: [kh, kw],
      offset: [kh - 1 - top, kw - 1 - left],
      every: attrs.stride,
    });
  const mirrored =
    lowering === 'convTranspose' && !at.prepacking && isMirrorable(kernel, attrs)
      ? at.rearranged(w, 'mirrored')
      : undefined;
  if (mirrored !== undefined)
    return e.node('Conv', [at.value(dy), mirrored], {
      attributes: {
        kernel_shape: [kh, kw],
        pads: [kh - 1 - top, kw - 1 - left, kh - 1 - bottom, kw - 1 - right],
      },
    });
  // What the strides of the forward pass left over at the far edges.
  const spare = (size: number, out: number, stride: number, k: number, pads: number) =>
    size - ((out - 1) * stride + k - pads);
  const output_padding = [
    spare(attrs.size[0], oh, attrs.stride[0], kh, top + bottom),
    spare(attrs.size[1], ow, attrs.stride[1], kw, left + right),
  ];
  const stored = at.value(w);
  // ONNX Runtime transposes the kernel at every call unless it may keep it so; the more pixels, the more often.
  e.packable.set(stored, { bytes: 4 * o * c * kh * kw, gain: n * oh * ow });
  return e.node('ConvTranspose', [at.value(dy), stored], {
    attributes: {
      kernel_shape: [kh, kw],
      strides: attrs.stride,
      pads: attrs.padding,
      output_padding,
    },
  });
}
