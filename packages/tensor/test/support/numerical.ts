/** @file Gradients held against finite differences, in double precision. */
import { expect } from 'vitest';
import { interpret } from '../../src/backends/reference/interpret.ts';
import type { Data } from '../../src/backends/reference/strided.ts';
import { grad } from '../../src/grad/grad.ts';
import type { Graph } from '../../src/graph/types.ts';
import { expandComposites } from '../../src/graph/walk.ts';
import { type Draws, draws, type Tensor, trace, type Tracer } from '../../src/index.ts';
import type { FixtureTensor } from './fixtures.ts';

/** The outputs of a graph, not rounded. */
export function evaluate(graph: Graph, inputs: ReadonlyMap<string, Data>): Map<string, Data> {
  const spelled = expandComposites(graph);
  const values = interpret(spelled, { inputs, weights: new Map() });
  return new Map(Object.entries(spelled.outputs).map(([name, id]) => [name, values.get(id)!.data]));
}

export type Loss = (t: Tracer, inputs: Tensor[]) => Tensor;

/** sum(t * c) with c made up: a scalar in which every element counts on its own. */
export const weigh = (t: Tracer, x: Tensor, name: string, random: Draws = draws(11)): Tensor =>
  x.mul(t.constant([...random.normal(name, 0, x.shape).data], x.shape)).sum();

const h = 1e-5;

/**
 * Compares grad(loss) with (loss(x + h) - loss(x - h)) / 2h for every element of every f32 input. With h = 1e-5, curvature leaves about 1e-10 and
 * rounding about 1e-11 of the loss; allowed is 1e-7 of the largest slope, or 1e-9 of the loss.
 */
export function expectNumericalGradient(loss: Loss, points: readonly FixtureTensor[]): void {
  const make = (t: Tracer) => points.map((p, k) => t.input(`in.${k}`, p.shape, p.dtype));
  const floats = points.flatMap((p, k) => (p.dtype === 'f32' ? [k] : []));
  const valueGraph = trace((t) => ({ outputs: { loss: loss(t, make(t)) } }));
  const slopeGraph = trace((t) => {
    const inputs = make(t);
    const slopes = grad(
      loss(t, inputs),
      floats.map((k) => inputs[k]!),
    );
    return { outputs: Object.fromEntries(slopes.map((g, i) => [`grad.${floats[i]}`, g])) };
  });
  const data = points.map((p) =>
    p.dtype === 'f32' ? Float64Array.from(p.data) : (p.data as Data),
  );
  const given = new Map(data.map((d, k) => [`in.${k}`, d]));
  const spelled = expandComposites(valueGraph);
  const value = (): number =>
    interpret(spelled, { inputs: given, weights: new Map() }).get(spelled.outputs.loss!)!.data[0]!;
  const slopes = evaluate(slopeGraph, given);
  const at = Math.abs(value());

  for (const k of floats) {
    const got = slopes.get(`grad.${k}`)!;
    const numerical = Array.from(data[k]!, (x, i) => {
      data[k]![i] = x + h;
      const above = value();
      data[k]![i] = x - h;
      const below = value();
      data[k]![i] = x;
      return (above - below) / (2 * h);
    });
    const largest = Math.max(...numerical.map(Math.abs));
    const wrong = numerical.flatMap((want, i) =>
      Math.abs(got[i]! - want) <= 1e-7 * largest + 1e-9 * Math.max(1, at)
        ? []
        : [`input ${k}, element ${i}: ${got[i]}, by differences ${want}`],
    );
    expect(wrong.slice(0, 5)).toEqual([]);
  }
}
