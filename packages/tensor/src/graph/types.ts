/** @file The graph as plain data: primitives, their attributes, nodes. Everything else in this package reads or rewrites it. */

/** Element types inside a graph. Truth values are `bool`, indices `i32`, everything trainable `f32`; `u8` holds codes, which are moved and chosen as they are, and cast to and from `i32`. */
export type DType = 'f32' | 'i32' | 'bool' | 'u8';
export type Shape = readonly number[];
export interface TensorType {
  readonly shape: Shape;
  readonly dtype: DType;
}
export type NodeId = number;

/** Stride and zero padding of a two-dimensional convolution over [N,C,H,W]. `padding` is [top, left, bottom, right]. */
export interface ConvAttributes {
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number, number, number];
}

/** What each primitive is told besides its inputs. The keys of this table are the primitives. */
export interface Attributes {
  /** A tensor given at every call. `state`: it lives in the executable between calls (parameters, optimizer state). */
  input: { readonly name: string; readonly type: TensorType; readonly state: boolean };
  /** A frozen array that the backend finds by name and never changes. */
  weight: { readonly name: string; readonly shape: Shape };
  /** A literal; `data` in row-major order, or one number for every element. */
  constant: { readonly data: readonly number[]; readonly type: TensorType };

  neg: object;
  exp: object;
  log: object;
  sqrt: object;
  sin: object;
  cos: object;
  tanh: object;
  erf: object;
  sigmoid: object;
  abs: object;
  sign: object;

  add: object;
  sub: object;
  mul: object;
  div: object;
  pow: object;
  maximum: object;
  minimum: object;
  less: object;
  equal: object;
  /** condition, then, otherwise */
  where: object;
  cast: { readonly dtype: DType };

  /** Sums over `axes` (ascending), which stay as axes of length 1. */
  reduceSum: { readonly axes: readonly number[] };
  /** The largest over `axes` (ascending), which stay as axes of length 1. */
  reduceMax: { readonly axes: readonly number[] };

  /** [..., M, K] x [..., K, N] -> [..., M, N]; leading axes equal. `transposeA`: the first operand is [..., K, M]; `transposeB`: the second is [..., N, K]. */
  matmul: { readonly transposeA: boolean; readonly transposeB: boolean };
  /** x [N,C,H,W], w [O,C,kh,kw] -> [N,O,H',W'] (cross-correlation) */
  conv2d: ConvAttributes;
  /** dy [N,O,H',W'], w [O,C,kh,kw] -> the gradient of x, [N,C,H,W] with `size` = [H, W] */
  conv2dGradInput: ConvAttributes & { readonly size: readonly [number, number] };
  /** x [N,C,H,W], dy [N,O,H',W'] -> the gradient of w, [O,C,kh,kw] with `kernel` = [kh, kw] */
  conv2dGradWeight: ConvAttributes & { readonly kernel: readonly [number, number] };

  reshape: { readonly shape: Shape };
  permute: { readonly axes: readonly number[] };
  /** Axes of length 1 are repeated to `shape`; the rank stays. */
  broadcast: { readonly shape: Shape };
  /** Zeros around: `low[i]` before and `high[i]` after along axis i. */
  pad: { readonly low: readonly number[]; readonly high: readonly number[] };
  slice: { readonly start: readonly number[]; readonly end: readonly number[] };
  concat: { readonly axis: number };
  /** table [V, ...], indices i32 of any shape S -> [...S, ...] */
  gather: object;
  /** updates [...S, ...], indices i32 S -> [rows, ...]: zeros, with every update added to its row */
  scatterAdd: { readonly rows: number };

  /** Its input; the gradient stops here. */
  stopGradient: object;
  /** Its first input, available only after all others are: no pass may look through it, merge it or run it earlier. */
  barrier: object;
  /** A function defined in primitives, which a backend may have a kernel for. Several outputs: read them through `part`. */
  composite: {
    readonly definition: CompositeDefinition;
    readonly options: Options;
    readonly outputs: readonly TensorType[];
  };
  part: { readonly index: number };
  /** A function of the researcher's own that says what one element of the result is (custom/define.ts); f32 inputs of any shape. */
  custom: { readonly definition: CustomDefinition; readonly shape: Shape };
}

export type Primitive = keyof Attributes;
export type Options = Readonly<Record<string, number | boolean | string | readonly number[]>>;

/** The seam between a composite and what reads graphs: a name, and how it is spelled out in primitives. See composites/define.ts. */
export interface CompositeDefinition {
  readonly name: string;
  /** Spells the composite out, in the builder that `inputs` belong to. */
  expand(builder: NodeSink, inputs: readonly NodeId[], options: Options): NodeId[];
  /** Its gradient, by hand: a cotangent for each input (undefined: none flows). Absent: the expansion is differentiated. */
  readonly vjp?: (
    builder: NodeSink,
    call: {
      inputs: readonly NodeId[];
      outputs: readonly NodeId[];
      cotangents: readonly (NodeId | undefined)[];
      wanted: readonly boolean[];
      options: Options;
    },
  ) => (NodeId | undefined)[];
}

/** What a kernel of a custom operation finds in `this`. */
export interface KernelThis<
  C extends Readonly<Record<string, number>> = Readonly<Record<string, number>>,
> {
  /** Which element of the result it computes; x counts the last axis. */
  readonly thread: { readonly x: number; readonly y: number; readonly z: number };
  /** The lengths of the result's axes. */
  readonly output: { readonly x: number; readonly y: number; readonly z: number };
  readonly constants: C;
}
/** An input of a custom operation's kernel: nested arrays. */
export type KernelInput = number[] | number[][] | number[][][];

/** A custom operation: one function, as it is and as text. */
export interface CustomDefinition {
  readonly name: string;
  readonly kernel: (this: KernelThis, ...inputs: KernelInput[]) => number;
  readonly source: string;
  readonly functions: readonly { readonly name: string; readonly source: string }[];
  readonly constants: Readonly<Record<string, number>>;
  /** The cotangent of each input (undefined: none flows), checked. Absent: it has none. */
  readonly vjp?: (
    builder: NodeSink,
    call: { readonly inputs: readonly NodeId[]; readonly cotangent: NodeId },
  ) => (NodeId | undefined)[];
}

export interface Node<P extends Primitive = Primitive> {
  readonly op: P;
  readonly inputs: readonly NodeId[];
  readonly attrs: Attributes[P];
  readonly shape: Shape;
  readonly dtype: DType;
  /** The layer that was being traced, for messages and profiles. */
  readonly path: string;
  /** The recompute region that it belongs to, 0 for none. */
  readonly region: number;
}
export type AnyNode = { [P in Primitive]: Node<P> }[Primitive];

/** Something that nodes can be appended to. */
export interface NodeSink {
  /** The layer that is being traced, '' for none. */
  readonly path: string;
  node(id: NodeId): AnyNode;
  /** Runs `body` with the path of the layer that it traces. */
  at<T>(path: string, body: () => T): T;
  add<P extends Primitive>(op: P, inputs: readonly NodeId[], attrs: Attributes[P]): NodeId;
}

/** A finished graph. Inputs of a node stand before it. */
export interface Graph {
  readonly nodes: readonly AnyNode[];
  readonly outputs: Readonly<Record<string, NodeId>>;
  /** State inputs, by name, and the node that becomes their next value. */
  readonly updates: Readonly<Record<string, NodeId>>;
}

export const sizeOf = (shape: Shape): number => shape.reduce((n, d) => n * d, 1);
export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);
export const showShape = (shape: Shape): string => `[${shape.join(', ')}]`;
/** Row-major strides, in elements. */
export const stridesOf = (shape: Shape): number[] => {
  const strides = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * shape[i + 1]!;
  return strides;
};
