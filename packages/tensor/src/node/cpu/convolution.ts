/** @file Which operators a convolution's gradients become, by shape. Measured figures: docs/decisions/0001-one-onnx-graph.md. */
import type { ConvAttributes, NodeId } from '../../graph/types.ts';
import type { Emitter, Name } from './emit.ts';
import type { Lowering } from './lower.ts';

type Size4 = readonly [number, number, number, number];

/** How the gradient of a convolution's input is computed. */
export type GradInputLowering = 'matmul' | 'convTranspose';

/** `kernel` [O,C,kh,kw]. A 1x1 kernel with stride 1 and no padding is a matrix product; everything else reads the kernel as it is stored. */
export function gradInputLowering(kernel: Size4, attrs: ConvAttributes): GradInputLowering {
  return isPointwise(kernel, attrs) ? 'matmul' : 'convTranspose';
}

export const isPointwise = ([, , kh, kw]: Size4, { stride, padding }: ConvAttributes): boolean =>
  kh === 1 && kw === 1 && stride.every((s) => s === 1) && padding.every((p) => p === 0);

const convAttributes = ({ stride, padding }: ConvAttributes, [, , kh, kw]: Size4) => ({
  kernel_shape: [kh, kw],
  strides: stride,
  pads: padding,
});

/** x [N,C,H,W], w [O,C,kh,kw] (and bias [O]) -> [N,O,H',W'] */
export function emitConv(
  e: Emitter,
  x: Name,
  w: Name,
  bias: Name | undefined,
  kernel: Size4,
  attrs: ConvAttributes,
): Name {
  return e.node('Conv', bias === undefined ? [x, w] : [x, w, bias], {
    attributes: convAttributes(attrs, kernel),
  });
}

/** dy [N,O,H',W'], w [O,C,kh,kw] -> dx [N,C,H,W] */
export function emitConvGradInput(
  at: Lowering,
  dy: NodeId,
  w: NodeId,
  attrs: ConvAttributes & { size: readonly [number, number] },
): Name {
  const e = at.emit;
  const kernel = at.node(w).shape as unknown as Size4;
  const [o, c, kh, kw] = kernel;
  const [n, , oh, ow] = at.node(dy).shape as unknown as Size4;
  if (gradInputLowering(kernel, attrs) === 'matmul') {
    return e.reshape(
      e.matmul(at.reshaped(w, [1, o, c]), e.reshape(at.value(dy), [n, o, oh * ow]), {
        transA: true,
      }),
      [n, c, ...attrs.size],
    );
  }
  const [top, left, bottom, right] = attrs.padding;
  // What the strides of the forward pass left over at the far edges.
  const spare = (size: number, out: number, stride: number, k: number, pads: number) =>
    size - ((out - 1) * stride + k - pads);
  const output_padding = [
    spare(attrs.size[0], oh, attrs.stride[0], kh, top + bottom),
    spare(attrs.size[1], ow, attrs.stride[1], kw, left + right),
  ];
  return e.node('ConvTranspose', [at.value(dy), at.value(w)], {
    attributes: {
      kernel_shape: [kh, kw],
      strides: attrs.stride,
      pads: attrs.padding,
      output_padding,
    },
  });
}

/** x [N,C,H,W], dy [N,O,H',W'] -> dw [O,C,kh,kw]: a convolution with batch and channels swapped, the stride becoming a dilation. */
export function emitConvGradWeight(
  at: Lowering,
  x: NodeId,
  dy: NodeId,
  attrs: ConvAttributes & { kernel: readonly [number, number] },
): Name {
  const e = at.emit;
  const [, , h, w] = at.node(x).shape as unknown as Size4;
  const [, , oh, ow] = at.node(dy).shape as unknown as Size4;
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
