/** @file Which operators the gradient of a convolution's kernel becomes, by shape. Measured figures: docs/decisions/0001-one-onnx-graph.md. */
import type { ConvAttributes, NodeId } from '../../graph/types.ts';
import type { Emitter, Name } from './emit.ts';
import { isPointwise } from './convolution.ts';
import type { Lowering, Size4 } from './lowering.ts';

type GradWeightAttributes = ConvAttributes & { readonly kernel: readonly [number, number] };

/**
 * How the gradient of a kernel is computed: as one product over the pixels of each picture; as one product with what all taps saw, side by side, which is the kernel's size times as much memory as the
 * picture; or tap by tap, a product for each.
 */
export type GradWeightLowering = 'pointwise' | 'columns' | 'taps';

/** Pixels of all pictures, for each channel of the input, from which gathering the products of the taps costs less than gathering what they saw. */
const MANY = 2;

/** `cotangent` [N,O,H',W'], `kernel` [O,C,kh,kw] */
export function gradWeightLowering(
  [n, , oh, ow]: Size4,
  kernel: Size4,
  attrs: ConvAttributes,
): GradWeightLowering {
  if (isPointwise(kernel, attrs)) return 'pointwise';
  return n * oh * ow >= MANY * kernel[1] ? 'taps' : 'columns';
}

const size4 = (at: Lowering, id: NodeId): Size4 => at.node(id).shape as unknown as Size4;

/** x [N,C,H,W], dy [N,O,H',W'] -> dw [O,C,kh,kw] */
export function emitConvGradWeight(
  at: Lowering,
  x: NodeId,
  dy: NodeId,
  attrs: GradWeightAttributes,
): Name {
  const cotangent = size4(at, dy);
  const kernel: Size4 = [cotangent[1], size4(at, x)[1], ...attrs.kernel];
  const lowering = gradWeightLowering(cotangent, kernel, attrs);
  if (lowering === 'pointwise') return emitPointwise(at, x, dy, kernel);
  return (lowering === 'taps' ? emitTaps : emitColumns)(at, x, dy, attrs);
}

/** The sum over pictures of products of dy [N, O, H W] and x [N, C, H W]. */
function emitPointwise(at: Lowering, x: NodeId, dy: NodeId, kernel: Size4): Name {
  const e = at.emit;
  const [n, o, h, w] = size4(at, dy);
  const flat = (id: NodeId, channels: number): Name => at.reshaped(id, [n, channels, h * w]);
  const products = e.matmul(flat(dy, o), flat(x, kernel[1]), { transB: true });
  const sum =
    n === 1
      ? products
      : e.node('ReduceSum', [products, e.i64([0])], { attributes: { keepdims: 0 } });
  return e.reshape(sum, kernel);
}

/** Where a tap of a kernel begins to look, in the padded picture, where it ends, and how far its looks are apart. */
interface Tap {
  readonly start: readonly number[];
  readonly end: readonly number[];
  readonly stride: readonly number[];
}

function tapsOf({ kernel, stride }: GradWeightAttributes, [, , oh, ow]: Size4): Tap[] {
  const [sy, sx] = stride;
  return Array.from({ length: kernel[0] * kernel[1] }, (_, tap) => {
    const [i, j] = [Math.floor(tap / kernel[1]), tap % kernel[1]];
    return { start: [i, j], end: [i + (oh - 1) * sy + 1, j + (ow - 1) * sx + 1], stride };
  });
}

/** What a tap saw of a padded picture whose height and width are these axes. */
const seenBy = (e: Emitter, padded: Name, tap: Tap, axes: readonly number[]): Name =>
  e.node('Slice', [padded, e.i64(tap.start), e.i64(tap.end), e.i64(axes), e.i64(tap.stride)]);

/** dy as [O, N H' W']. */
function rowsOf(at: Lowering, dy: NodeId): Name {
  const e = at.emit;
  const [n, o, h, w] = size4(at, dy);
  return n === 1
    ? at.reshaped(dy, [o, h * w])
    : e.reshape(e.transpose(at.value(dy), [1, 0, 2, 3]), [o, n * h * w]);
}

/** Products of dy [O, N H' W'] with what each tap of the kernel saw, [N H' W', C]. */
function emitTaps(at: Lowering, x: NodeId, dy: NodeId, attrs: GradWeightAttributes): Name {
  const e = at.emit;
  const [, c] = size4(at, x);
  const cotangent = size4(at, dy);
  const [n, o, oh, ow] = cotangent;
  const [top, left, bottom, right] = attrs.padding;
  const last = e.transpose(at.value(x), [0, 2, 3, 1]);
  const padded = attrs.padding.every((p) => p === 0)
    ? last
    : e.node('Pad', [last, e.i64([0, top, left, 0, 0, bottom, right, 0])]);
  const rows = rowsOf(at, dy);
  const products = tapsOf(attrs, cotangent).map((tap) => {
    const seen = seenBy(e, padded, tap, [1, 2]);
    return e.reshape(e.matmul(rows, e.reshape(seen, [n * oh * ow, c])), [o, c, 1]);
  });
  const all = e.node('Concat', products, { attributes: { axis: 2 } });
  return e.reshape(all, [o, c, ...attrs.kernel]);
}

/** One product of dy [O, N H' W'] with what all taps of the kernel saw, [C kh kw, N H' W']. */
function emitColumns(at: Lowering, x: NodeId, dy: NodeId, attrs: GradWeightAttributes): Name {
  const e = at.emit;
  const [n, c] = size4(at, x);
  const cotangent = size4(at, dy);
  const [, o, oh, ow] = cotangent;
  const [top, left, bottom, right] = attrs.padding;
  const pixels = n * oh * ow;
  const byChannel = n === 1 ? at.value(x) : e.transpose(at.value(x), [1, 0, 2, 3]);
  const padded = attrs.padding.every((p) => p === 0)
    ? byChannel
    : e.node('Pad', [byChannel, e.i64([0, 0, top, left, 0, 0, bottom, right])]);
  const taps = tapsOf(attrs, cotangent).map((tap) => {
    const seen = seenBy(e, padded, tap, [2, 3]);
    return e.reshape(seen, [c, 1, pixels]);
  });
  const columns = e.node('Concat', taps, { attributes: { axis: 1 } });
  const product = e.matmul(rowsOf(at, dy), e.reshape(columns, [c * taps.length, pixels]), {
    transB: true,
  });
  return e.reshape(product, [o, c, ...attrs.kernel]);
}
