import { type DType, type Shape, type Tensor, type Tracer, UserError } from '@sdft/tensor';
import type { Draws } from '../contracts.ts';

/** A draw that a graph asks for at each micro-step. */
export interface DrawSpec {
  readonly name: string;
  readonly kind: 'normal' | 'uniform' | 'integers';
  readonly shape: Shape;
  /** `integers` only. */
  readonly below: number;
}

/** Draws as inputs of the graph; `specs` fills while it is traced. */
export function tracedDraws(tracer: Tracer): { draw: Draws; specs: Map<string, DrawSpec> } {
  const specs = new Map<string, DrawSpec>();
  const inputs = new Map<string, Tensor>();
  const ask = (spec: DrawSpec, dtype: DType): Tensor => {
    const known = specs.get(spec.name);
    if (known && (known.kind !== spec.kind || String(known.shape) !== String(spec.shape)))
      throw new UserError(
        `draw ${spec.name}: asked for as ${known.kind} [${known.shape.join(', ')}] and as ${spec.kind} [${spec.shape.join(', ')}]; give each draw its own name`,
      );
    const input = inputs.get(spec.name) ?? tracer.input(spec.name, spec.shape, dtype);
    specs.set(spec.name, spec);
    inputs.set(spec.name, input);
    return input;
  };
  return {
    specs,
    draw: {
      normal: (name, shape) => ask({ name, kind: 'normal', shape, below: 0 }, 'f32'),
      uniform: (name, shape) => ask({ name, kind: 'uniform', shape, below: 0 }, 'f32'),
      integers: (name, shape, below) => ask({ name, kind: 'integers', shape, below }, 'i32'),
    },
  };
}
