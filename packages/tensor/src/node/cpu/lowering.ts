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
  /**
   * A frozen kernel [O,C,kh,kw] as a constant [kh kw C, O] (forward), or, its taps in reverse, [kh kw O, C] (flipped);
   * undefined if it is not frozen, or its copy no longer fits into what copies of weights may take.
   */
  tapRows(kernel: NodeId, order: TapOrder): Name | undefined;
  /** Bytes of attention scores that a gradient may hold at a time. */
  readonly chunkBytes: number;
}
export type LowerRule<A> = (call: {
  id: NodeId;
  inputs: readonly NodeId[];
  attrs: A;
  shape: Shape;
  dtype: DType;
  at: Lowering;
}) => Name;

/** The two orders of `tapRows`. */
export type TapOrder = 'forward' | 'flipped';

/** How frozen weights become constants of the model; each method declares one and answers its name. */
export interface WeightSource {
  /** The weight in the shape asked for; the same bytes may be declared in several shapes. */
  weight(emit: Emitter, name: string, shape: Shape): Name;
  /** See Lowering.tapRows; undefined if there is no room on the disk. */
  tapRows(emit: Emitter, name: string, order: TapOrder): Name | undefined;
}
