/** @file From a function to a graph. */
import { GraphBuilder } from '../graph/builder.ts';
import type { DType, Graph, Shape } from '../graph/types.ts';
import { UserError } from '../errors.ts';
import { apply, constant, literal, Tensor, type TensorLike } from './tensor.ts';

/** What a traced function is given: the ways in. */
export interface Tracer {
  readonly builder: GraphBuilder;
  /** A tensor that is given at every call. */
  input(name: string, shape: Shape, dtype?: DType): Tensor;
  /** A tensor that lives in the executable between calls; f32 unless it says otherwise. */
  state(name: string, shape: Shape, dtype?: DType): Tensor;
  /** A frozen array that compile finds by name. */
  weight(name: string, shape: Shape): Tensor;
  /** A literal; `data` in row-major order, or one number for every element. */
  constant(data: number | readonly number[], shape?: Shape, dtype?: DType): Tensor;
  /** Runs `body` as the layer at `path`, for messages and profiles. */
  at<T>(path: string, body: () => T): T;
  /** Runs `body` so that its intermediates are computed again for the gradient instead of being kept (gradient checkpointing). */
  recompute<T>(body: () => T): T;
}

/** What a traced function gives back: results, and the next values of states by their names. */
export interface Traced {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly updates?: Readonly<Record<string, Tensor>>;
}

/** The graph of `body`. Throws UserError where shapes do not fit, or an update's type is not its state's. */
export function trace(body: (t: Tracer) => Traced): Graph {
  const builder = new GraphBuilder();
  const names = new Set<string>();
  const named = (name: string): string => {
    if (names.has(name))
      throw new UserError(`the graph has two inputs called ${name}; give each its own name`);
    names.add(name);
    return name;
  };
  const tensor = (id: number) => new Tensor(builder, id);
  const { outputs, updates = {} } = body({
    builder,
    input: (name, shape, dtype = 'f32') =>
      tensor(
        builder.add('input', [], {
          name: named(name),
          type: { shape: [...shape], dtype },
          state: false,
        }),
      ),
    state: (name, shape, dtype = 'f32') =>
      tensor(
        builder.add('input', [], {
          name: named(name),
          type: { shape: [...shape], dtype },
          state: true,
        }),
      ),
    weight: (name, shape) => tensor(builder.add('weight', [], { name, shape: [...shape] })),
    constant: (data, shape = typeof data === 'number' ? [] : [data.length], dtype = 'f32') =>
      tensor(
        builder.add('constant', [], {
          data: typeof data === 'number' ? [data] : [...data],
          type: { shape: [...shape], dtype },
        }),
      ),
    at: (path, inner) => builder.at(path, inner),
    recompute: (inner) => builder.recompute(inner),
  });
  const ids = (results: Readonly<Record<string, Tensor>>) =>
    Object.fromEntries(Object.entries(results).map(([name, t]) => [name, t.id]));
  const graph = builder.finish(ids(outputs), ids(updates));
  const states = new Map(
    graph.nodes.flatMap((n) => (n.op === 'input' && n.attrs.state ? [[n.attrs.name, n]] : [])),
  );
  for (const [name, id] of Object.entries(graph.updates)) {
    const state = states.get(name);
    const next = graph.nodes[id]!;
    if (!state) throw new UserError(`${name} is updated but is no state of this graph`);
    if (state.shape.join() !== next.shape.join() || state.dtype !== next.dtype)
      throw new UserError(
        `the next value of ${name} is ${next.dtype} [${next.shape}], the state is ${state.dtype} [${state.shape}]`,
      );
  }
  return graph;
}

/** Joins along `axis`; all other lengths equal. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const first = tensors[0];
  if (!first) throw new UserError('concat: needs at least one tensor');
  const at = axis < 0 ? axis + first.rank : axis;
  return tensors.length === 1 ? first : apply('concat', tensors, { axis: at });
}

/** Joins along a new axis. */
export const stack = (tensors: readonly Tensor[], axis = 0): Tensor =>
  concat(
    tensors.map((t) => t.unsqueeze(axis)),
    axis,
  );

/** `value` repeated to `shape`, beside `partner` in its graph. */
export const full = (partner: Tensor, shape: Shape, value: number, dtype: DType = 'f32'): Tensor =>
  constant(partner.builder, value, dtype).broadcastTo(shape);

/** 0, 1, ..., count - 1: [count] f32, in the graph of another tensor. */
export const arange = (partner: Tensor, count: number): Tensor =>
  literal(
    partner.builder,
    Array.from({ length: count }, (_, i) => i),
    [count],
  );

export type { TensorLike };
