/** @file Which operators a convolution and its gradients become, by shape. Measured figures: docs/decisions/0001-one-onnx-graph.md. */
import type { ConvAttributes, NodeId } from '../../graph/types.ts';
import type { Emitter, Name } from './emit.ts';
import type { Lowering } from './lower.ts';

export type Size4 = readonly [number, number, number, number];
type GradInputAttributes = ConvAttributes & { readonly size: readonly [number, number] };
type GradWeightAttributes = ConvAttributes & { readonly kernel: readonly [number, number] };

/** How a convolution is computed: by ONNX Runtime's own, or as one product over the columns of the whole batch. */
export type ConvLowering = 'conv' | 'columns';
/** How the gradient of its input is computed. */
export type GradInputLowering = 'pointwise' | 'convTranspose' | 'columns';

/** Pixels of one picture up to which a product over the whole batch beats ONNX Runtime's convolution, which goes picture by picture. */
const SMALL = 16;

export const isPointwise = ([, , kh, kw]: Size4, { stride, padding }: ConvAttributes): boolean =>
  kh === 1 && kw === 1 && stride.every((s) => s === 1) && padding.every((p) => p === 0);
const isUnitStride = ({ stride }: ConvAttributes): boolean => stride.every((s) => s === 1);

/** `output` [N,O,H',W'], `kernel` [O,C,kh,kw] */
export function convLowering(output: Size4, kernel: Size4, attrs: ConvAttributes): ConvLowering {
  const [n, , h, w] = output;
  return n > 1 && h * w <= SMALL && isUnitStride(attrs) && !isPointwise(kernel, attrs)
    ? 'columns'
    : 'conv';
}

/** Every choice reads the kernel as it is stored. `cotangent` [N,O,H',W'], `kernel` [O,C,kh,kw] */
export function gradInputLowering(
  cotangent: Size4,
  kernel: Size4,
  attrs: ConvAttributes,
): GradInputLowering {
  if (isPointwise(kernel, attrs)) return 'pointwise';
  const [n, , h, w] = cotangent;
  return n > 1 && h * w <= SMALL && isUnitStride(attrs) ? 'columns' : 'convTranspose';
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
  const [o, c, kh, kw] = kernel;
  if (convLowering(output, kernel, attrs) === 'conv') {
    const inputs = [at.value(x), at.value(w), ...(bias === undefined ? [] : [bias])];
    return e.node('Conv', inputs, {
      attributes: { kernel_shape: [kh, kw], strides: attrs.stride, pads: attrs.padding },
    });
  }
  const [n, , oh, ow] = output;
  const columns = e.reshape(
    shifted(
      e,
      padded(e, e.transpose(at.value(x), [1, 0, 2, 3]), attrs.padding),
      [kh, kw],
      [oh, ow],
    ),
    [c * kh * kw, n * oh * ow],
  );
  const flat = at.reshaped(w, [o, c * kh * kw]);
  const product =
    bias === undefined
      ? e.matmul(flat, columns)
      : e.node('Gemm', [flat, columns, e.reshape(bias, [o, 1])]);
  return e.transpose(e.reshape(product, [o, n, oh, ow]), [1, 0, 2, 3]);
}

const padded = (
  e: Emitter,
  x: Name,
  [top, left, bottom, right]: ConvAttributes['padding'],
): Name =>
  top + left + bottom + right === 0
    ? x
    : e.node('Pad', [x, e.i64([0, 0, top, left, 0, 0, bottom, right])]);

/** [A,B,H,W] -> [A, kh kw, B, oh, ow]: the windows that the kernel's elements see. */
function shifted(
  e: Emitter,
  x: Name,
  [kh, kw]: readonly [number, number],
  [oh, ow]: readonly [number, number],
): Name {
  const windows: Name[] = [];
  for (let i = 0; i < kh; i++)
    for (let j = 0; j < kw; j++)
      windows.push(e.node('Unsqueeze', [e.slice(x, [2, 3], [i, j], [i + oh, j + ow]), e.i64([1])]));
  return e.node('Concat', windows, { attributes: { axis: 1 } });
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
  switch (gradInputLowering(cotangent, kernel, attrs)) {
    case 'pointwise': {
      const flat = e.reshape(at.value(dy), [n, o, oh * ow]);
      return e.reshape(e.matmul(at.reshaped(w, [1, o, c]), flat, { transA: true }), [
        n,
        c,
        ...attrs.size,
      ]);
    }
    case 'columns': {
      const rows = e.reshape(e.transpose(at.value(dy), [0, 2, 3, 1]), [n * oh * ow, o]);
      const columns = e.reshape(e.matmul(rows, at.reshaped(w, [o, c * kh * kw])), [
        n,
        oh,
        ow,
        c,
        kh * kw,
      ]);
      return scattered(e, e.transpose(columns, [4, 0, 3, 1, 2]), [n, c, oh, ow], attrs, [kh, kw]);
    }
    case 'convTranspose': {
      const [top, left, bottom, right] = attrs.padding;
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
  }
}

/** [kh kw, N,C,H',W'] -> [N,C,H,W]: each window added where the kernel's element saw it. */
function scattered(
  e: Emitter,
  windows: Name,
  [n, c, oh, ow]: Size4,
  { size, padding }: GradInputAttributes,
  [kh, kw]: readonly [number, number],
): Name {
  const [h, w] = [size[0] + padding[0] + padding[2], size[1] + padding[1] + padding[3]];
  const parts: Name[] = [];
  for (let i = 0; i < kh; i++)
    for (let j = 0; j < kw; j++) {
      const window = e.reshape(e.slice(windows, [0], [i * kw + j], [i * kw + j + 1]), [
        n,
        c,
        oh,
        ow,
      ]);
      parts.push(e.node('Pad', [window, e.i64([0, 0, i, j, 0, 0, h - oh - i, w - ow - j])]));
    }
  const whole = e.node('Sum', parts);
  return e.slice(
    whole,
    [2, 3],
    [padding[0], padding[1]],
    [padding[0] + size[0], padding[1] + size[1]],
  );
}

/** x [N,C,H,W], dy [N,O,H',W'] -> dw [O,C,kh,kw]: a convolution with batch and channels swapped, the stride becoming a dilation. */
export function emitConvGradWeight(
  at: Lowering,
  x: NodeId,
  dy: NodeId,
  attrs: GradWeightAttributes,
): Name {
  const e = at.emit;
  const [, , h, w] = size4(at, x);
  const [, , oh, ow] = size4(at, dy);
  const [kh, kw] = attrs.kernel;
  const [top, left, bottom, right] = attrs.padding;
  const swapped = e.node(
    'Conv',
    [e.transpose(at.value(x), [1, 0, 2, 3]), e.transpose(at.value(dy), [1, 0, 2, 3])],
    {
      attributes: {
        kernel_shape: [oh, ow],
        dilations: attrs.stride,
        strides: [1, 1],
        pads: attrs.padding,
      },
    },
  );
  // Rows and columns that the stride of the forward pass never reached.
  const exact =
    h + top + bottom - (oh - 1) * attrs.stride[0] === kh &&
    w + left + right - (ow - 1) * attrs.stride[1] === kw;
  return e.transpose(exact ? swapped : e.slice(swapped, [2, 3], [0, 0], [kh, kw]), [1, 0, 2, 3]);
}
