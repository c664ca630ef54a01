/** @file What the rules that turn nodes into ONNX operators are given, and what they ask for. */
import type { AnyNode, DType, NodeId, Shape } from '../../graph/types.ts';
import type { Emitter, Name } from './emit.ts';

/** What a rule sees besides its node. */
export interface Lowering {
  readonly emit: Emitter;
  node(id: NodeId): AnyNode;
  /** The ONNX value of a node, of exactly its shape. */
  value(id: NodeId): Name;
  /** The same for an operator that broadcasts by itself: axes may still have length 1. */
  operand(id: NodeId): Name;
  /** A node's value seen in another shape; of a weight, without a copy. */
  reshaped(id: NodeId, shape: Shape): Name;
  /** Some rows of a weight, without a copy where it lies in a file. */
  rows(weight: NodeId, from: number, count: number): Name;
  /** Both halves of a value along its last axis, where they are computed apart, as rows, some at a time; see planHalves. */
  halves(id: NodeId): readonly (readonly [Name, Name])[] | undefined;
  /** A frozen kernel in another order; undefined if it is not frozen, or its copy no longer fits into what copies of weights may take. */
  rearranged(kernel: NodeId, order: KernelOrder): Name | undefined;
  /** Bytes of attention scores that a gradient may hold at a time. */
  readonly chunkBytes: number;
  /** Bytes of attention scores that one core works on at a time, so that they stay in its cache; infinite where several share an operator. */
  readonly tileBytes: number;
  /** Whether one thread computes each operator. */
  readonly oneThread: boolean;
  /** Whether operators may keep rearranged copies of weights. */
  readonly prepacking: boolean;
}
export type LowerRule<A> = (call: {
  id: NodeId;
  inputs: readonly NodeId[];
  attrs: A;
  shape: Shape;
  dtype: DType;
  at: Lowering;
}) => Name;

/** Pictures [N,C,H,W] or a kernel [O,C,kh,kw]. */
export type Size4 = readonly [number, number, number, number];

/**
 * What a kernel [O,C,kh,kw] becomes: `forward`: [O, kh kw C]; `flipped`: [C, kh kw O], its taps in reverse; `forwardRows` and `flippedRows`: the same transposed; `mirrored`: [C,O,kh,kw], its taps in
 * reverse; `tiles`: [16,O,C], transformed (see winograd.ts).
 */
export type KernelOrder =
  | 'forward'
  | 'flipped'
  | 'forwardRows'
  | 'flippedRows'
  | 'mirrored'
  | 'tiles';

/** How frozen weights become constants of the model; each method declares one and answers its name. */
export interface WeightSource {
  /** The weight in the shape asked for; the same bytes may be declared in several shapes. */
  weight(emit: Emitter, name: string, shape: Shape): Name;
  /** Some rows of a weight. */
  rows(emit: Emitter, name: string, shape: Shape, from: number, count: number): Name;
  /** See Lowering.rearranged; undefined if there is no room on the disk. */
  rearranged(emit: Emitter, name: string, order: KernelOrder): Name | undefined;
}
