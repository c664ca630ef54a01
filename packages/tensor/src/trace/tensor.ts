/** @file The tensors that users compute with. Nothing is computed when they are: each call adds a node to the graph being traced. */
import { failureIn, type UserError } from '../errors.ts';
import {
  type Attributes,
  type DType,
  type NodeId,
  type NodeSink,
  type Primitive,
  type Shape,
  showShape,
  sizeOf,
} from '../graph/types.ts';

/** A tensor, or a number that stands for a tensor of its partner's shape. */
export type TensorLike = Tensor | number;

/**
 * A node of the graph being traced, with NumPy's and PyTorch's operations. Binary operations broadcast as NumPy does.
 * Axes may be counted from the end (-1 is the last). Every operation throws UserError, with shapes and layer, where its operands do not fit.
 */
export class Tensor {
  readonly builder: NodeSink;
  readonly id: NodeId;

  constructor(builder: NodeSink, id: NodeId) {
    this.builder = builder;
    this.id = id;
  }

  get shape(): Shape {
    return this.builder.node(this.id).shape;
  }
  get dtype(): DType {
    return this.builder.node(this.id).dtype;
  }
  get rank(): number {
    return this.shape.length;
  }
  get size(): number {
    return sizeOf(this.shape);
  }

  add(other: TensorLike): Tensor {
    return this.#binary('add', other);
  }
  sub(other: TensorLike): Tensor {
    return this.#binary('sub', other);
  }
  mul(other: TensorLike): Tensor {
    return this.#binary('mul', other);
  }
  div(other: TensorLike): Tensor {
    return this.#binary('div', other);
  }
  pow(exponent: TensorLike): Tensor {
    return this.#binary('pow', exponent);
  }
  maximum(other: TensorLike): Tensor {
    return this.#binary('maximum', other);
  }
  minimum(other: TensorLike): Tensor {
    return this.#binary('minimum', other);
  }
  less(other: TensorLike): Tensor {
    return this.#binary('less', other);
  }
  greater(other: TensorLike): Tensor {
    return lift(other, this).less(this);
  }
  equal(other: TensorLike): Tensor {
    return this.#binary('equal', other);
  }
  /** Where this (bool) holds `then`, elsewhere `otherwise`; all three broadcast. */
  where(then: TensorLike, otherwise: TensorLike): Tensor {
    const partner =
      then instanceof Tensor ? then : otherwise instanceof Tensor ? otherwise : undefined;
    const a =
      typeof then === 'number' ? constant(this.builder, then, partner?.dtype ?? 'f32') : then;
    const b =
      typeof otherwise === 'number' ? constant(this.builder, otherwise, a.dtype) : otherwise;
    const shape = broadcastShape([this.shape, a.shape, b.shape], this.#fail('where'));
    return apply(
      'where',
      [this.broadcastTo(shape), a.broadcastTo(shape), b.broadcastTo(shape)],
      {},
    );
  }

  neg(): Tensor {
    return apply('neg', [this], {});
  }
  exp(): Tensor {
    return apply('exp', [this], {});
  }
  /** The natural logarithm. */
  log(): Tensor {
    return apply('log', [this], {});
  }
  sqrt(): Tensor {
    return apply('sqrt', [this], {});
  }
  rsqrt(): Tensor {
    return lift(1, this).div(this.sqrt());
  }
  reciprocal(): Tensor {
    return lift(1, this).div(this);
  }
  square(): Tensor {
    return this.mul(this);
  }
  sin(): Tensor {
    return apply('sin', [this], {});
  }
  cos(): Tensor {
    return apply('cos', [this], {});
  }
  tanh(): Tensor {
    return apply('tanh', [this], {});
  }
  erf(): Tensor {
    return apply('erf', [this], {});
  }
  sigmoid(): Tensor {
    return apply('sigmoid', [this], {});
  }
  /** max(x, 0); its slope at 0 is 0, as PyTorch's. */
  relu(): Tensor {
    return lift(0, this).less(this).where(this, this.maximum(0).stopGradient());
  }
  abs(): Tensor {
    return apply('abs', [this], {});
  }
  /** -1, 0 or 1 */
  sign(): Tensor {
    return apply('sign', [this], {});
  }
  /** `low` to `high`; the slope at both ends is 0, as PyTorch's. */
  clamp(low: number, high: number): Tensor {
    const clamped = this.maximum(low).minimum(high).stopGradient();
    return lift(low, this).less(this).where(this.less(high).where(this, clamped), clamped);
  }
  cast(dtype: DType): Tensor {
    return dtype === this.dtype ? this : apply('cast', [this], { dtype });
  }

  /** Sums over `axes` (all by default), which disappear unless `keepDims`. */
  sum(axes?: number | readonly number[], options: { keepDims?: boolean } = {}): Tensor {
    return this.#reduce('reduceSum', axes, options);
  }
  mean(axes?: number | readonly number[], options: { keepDims?: boolean } = {}): Tensor {
    const summed = this.sum(axes, options);
    return summed.div(this.size / summed.size);
  }
  max(axes?: number | readonly number[], options: { keepDims?: boolean } = {}): Tensor {
    return this.#reduce('reduceMax', axes, options);
  }

  /**
   * [..., M, K] x [..., K, N] -> [..., M, N]. Leading axes broadcast; a two-dimensional `other` is applied to all rows at once.
   * `transposeB`: other is [..., N, K], as weights are stored.
   */
  matmul(other: Tensor, { transposeA = false, transposeB = false } = {}): Tensor {
    if (this.rank < 2 || other.rank < 2)
      throw this.#fail('matmul')(
        `needs at least two axes, got ${showShape(this.shape)} and ${showShape(other.shape)}`,
      );
    if (other.rank === 2 && this.rank > 2 && !transposeA) {
      const n = other.shape[transposeB ? 0 : 1]!;
      const rows = this.reshape([-1, this.shape[this.rank - 1]!]);
      return apply('matmul', [rows, other], { transposeA: false, transposeB }).reshape([
        ...this.shape.slice(0, -1),
        n,
      ]);
    }
    const batch = broadcastShape(
      [this.shape.slice(0, -2), other.shape.slice(0, -2)],
      this.#fail('matmul'),
    );
    const a = this.broadcastTo([...batch, ...this.shape.slice(-2)]);
    const b = other.broadcastTo([...batch, ...other.shape.slice(-2)]);
    return apply('matmul', [a, b], { transposeA, transposeB });
  }

  /** One length may be -1: what is left. */
  reshape(shape: Shape): Tensor {
    const known = shape.reduce((n, d) => (d === -1 ? n : n * d), 1);
    const full = shape.map((d) => (d === -1 ? this.size / known : d));
    if (full.some((d) => !Number.isInteger(d)) || shape.filter((d) => d === -1).length > 1)
      throw this.#fail('reshape')(`cannot see ${showShape(this.shape)} as ${showShape(shape)}`);
    return apply('reshape', [this], { shape: full });
  }
  permute(axes: readonly number[]): Tensor {
    return apply('permute', [this], { axes: axes.map((a) => this.#axis(a, 'permute')) });
  }
  /** Swaps two axes, by default the last two. */
  transpose(a = -2, b = -1): Tensor {
    const axes = this.shape.map((_, i) => i);
    const [p, q] = [this.#axis(a, 'transpose'), this.#axis(b, 'transpose')];
    [axes[p], axes[q]] = [q, p];
    return this.permute(axes);
  }
  /** As NumPy broadcasts: missing leading axes appear, axes of length 1 repeat. */
  broadcastTo(shape: Shape): Tensor {
    const aligned =
      shape.length > this.rank
        ? this.reshape([...new Array<number>(shape.length - this.rank).fill(1), ...this.shape])
        : this;
    return aligned.shape.every((d, i) => d === shape[i]) && aligned.rank === shape.length
      ? aligned
      : apply('broadcast', [aligned], { shape: [...shape] });
  }
  unsqueeze(axis: number): Tensor {
    const at = axisOf(axis, this.rank + 1, this.#fail('unsqueeze'));
    return this.reshape([...this.shape.slice(0, at), 1, ...this.shape.slice(at)]);
  }
  squeeze(axis: number): Tensor {
    const at = this.#axis(axis, 'squeeze');
    if (this.shape[at] !== 1)
      throw this.#fail('squeeze')(`axis ${axis} of ${showShape(this.shape)} is not of length 1`);
    return this.reshape(this.shape.filter((_, i) => i !== at));
  }
  /** Zeros around: [before, after] for each of the last axes. */
  pad(widths: readonly (readonly [number, number])[]): Tensor {
    if (widths.length > this.rank)
      throw this.#fail('pad')(`${widths.length} widths for the axes of ${showShape(this.shape)}`);
    const rest = new Array<number>(this.rank - widths.length).fill(0);
    return apply('pad', [this], {
      low: [...rest, ...widths.map((w) => w[0])],
      high: [...rest, ...widths.map((w) => w[1])],
    });
  }
  /** Elements `start` up to, not including, `end` along `axis`; both may count from the end. */
  slice(axis: number, start: number, end: number = this.shape[this.#axis(axis, 'slice')]!): Tensor {
    const at = this.#axis(axis, 'slice');
    const length = this.shape[at]!;
    const position = (i: number) => (i < 0 ? i + length : i);
    return apply('slice', [this], {
      start: this.shape.map((_, i) => (i === at ? position(start) : 0)),
      end: this.shape.map((d, i) => (i === at ? position(end) : d)),
    });
  }
  /** Equal parts along `axis`. */
  chunk(parts: number, axis = 0): Tensor[] {
    const length = this.shape[this.#axis(axis, 'chunk')]! / parts;
    if (!Number.isInteger(length))
      throw this.#fail('chunk')(
        `${showShape(this.shape)} has no ${parts} equal parts along axis ${axis}`,
      );
    return Array.from({ length: parts }, (_, i) => this.slice(axis, i * length, (i + 1) * length));
  }
  /** Rows of this table [V, ...] by `indices` (i32, any shape S): [...S, ...]. */
  gather(indices: Tensor): Tensor {
    return apply('gather', [this, indices], {});
  }
  /** The same numbers; no gradient flows back through them. */
  stopGradient(): Tensor {
    return apply('stopGradient', [this], {});
  }

  #fail(op: string): (why: string) => UserError {
    return failureIn(op, this.builder.path);
  }

  #axis(axis: number, op: string): number {
    return axisOf(axis, this.rank, this.#fail(op));
  }

  #binary(
    op: 'add' | 'sub' | 'mul' | 'div' | 'pow' | 'maximum' | 'minimum' | 'less' | 'equal',
    other: TensorLike,
  ): Tensor {
    const b = lift(other, this);
    const shape = broadcastShape([this.shape, b.shape], this.#fail(op));
    return apply(op, [this.broadcastTo(shape), b.broadcastTo(shape)], {});
  }

  #reduce(
    op: 'reduceSum' | 'reduceMax',
    axes: number | readonly number[] | undefined,
    { keepDims = false }: { keepDims?: boolean },
  ): Tensor {
    const list =
      axes === undefined ? this.shape.map((_, i) => i) : typeof axes === 'number' ? [axes] : axes;
    const along = [...new Set(list.map((a) => this.#axis(a, op)))].sort((p, q) => p - q);
    const reduced = along.length === 0 ? this : apply(op, [this], { axes: along });
    return keepDims ? reduced : reduced.reshape(this.shape.filter((_, i) => !along.includes(i)));
  }
}

/** Adds a node and wraps it. */
export function apply<P extends Primitive>(
  op: P,
  inputs: readonly Tensor[],
  attrs: Attributes[P],
): Tensor {
  const builder = inputs[0]!.builder;
  if (inputs.some((t) => t.builder !== builder))
    throw failureIn(
      op,
      builder.path,
    )('its operands were traced in different graphs; compute in one trace');
  return new Tensor(
    builder,
    builder.add(
      op,
      inputs.map((t) => t.id),
      attrs,
    ),
  );
}

/** A literal tensor; `data` in row-major order, or one number for every element. */
export const literal = (
  builder: NodeSink,
  data: readonly number[],
  shape: Shape,
  dtype: DType = 'f32',
): Tensor => new Tensor(builder, builder.add('constant', [], { data, type: { shape, dtype } }));
export const constant = (builder: NodeSink, value: number, dtype: DType = 'f32'): Tensor =>
  literal(builder, [value], [], dtype);
const lift = (value: TensorLike, partner: Tensor): Tensor =>
  typeof value === 'number' ? constant(partner.builder, value, partner.dtype) : value;

/** `axis` counted from the front. Throws `fail`'s error if the rank has no such axis. */
export function axisOf(axis: number, rank: number, fail: (why: string) => UserError): number {
  const at = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(at) || at < 0 || at >= rank)
    throw fail(`there is no axis ${axis} in a tensor of rank ${rank}`);
  return at;
}

/** NumPy's common shape. Throws `fail`'s error where there is none. */
export function broadcastShape(
  shapes: readonly Shape[],
  fail: (why: string) => UserError,
): number[] {
  const rank = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, i) => {
    const lengths = shapes.map((s) => s[i - rank + s.length] ?? 1).filter((d) => d !== 1);
    if (lengths.some((d) => d !== lengths[0]))
      throw fail(
        `shapes ${shapes.map(showShape).join(' and ')} do not broadcast: axis ${i - rank} has lengths ${[...new Set(lengths)].join(' and ')}`,
      );
    return lengths[0] ?? 1;
  });
}
