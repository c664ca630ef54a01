/** @file In which order steps are done, and what is done again rather than kept: plans, without a device. */
import { describe, expect, it } from 'vitest';
import { prepare } from '../../src/backends/webgpu/backend.ts';
import { lower } from '../../src/backends/webgpu/lower.ts';
import { layOut } from '../../src/backends/webgpu/memory.ts';
import { atPeak } from '../../src/backends/webgpu/peak.ts';
import type { Program, ProgramStep } from '../../src/backends/webgpu/program.ts';
import { schedule } from '../../src/backends/webgpu/schedule.ts';
import type { Graph } from '../../src/graph/types.ts';
import {
  apply,
  geglu,
  grad,
  groupNorm,
  layerNorm,
  planStep,
  silu,
  squaredNorms,
  type Tensor,
  trace,
  type Tracer,
} from '../../src/index.ts';
import { unetLike } from '../cpu/support/unetLike.ts';
import { large as gpu } from './targets.ts';

const lowered = (graph: Graph): Program =>
  lower(prepare(graph, gpu, 'f32'), gpu, { precision: 'f32' });
const working = (program: Program): number =>
  layOut(program, gpu).arenas.reduce((sum, a) => sum + (a.kind === 'working' ? a.bytes : 0), 0);

/** By step: for each tensor that it touches, by how many steps that had been written before, and how often it had been read since. */
function seenBy({ steps, tensors }: Program): Map<ProgramStep, string> {
  const writes = tensors.map(() => 0);
  const reads = tensors.map(() => 0);
  const seen = steps.map((step): [ProgramStep, string] => {
    const before = step.operands.map(({ tensor }, i) => {
      const { access } = step.kernel.operands[i]!;
      return `${tensor}:${writes[tensor]}${access === 'read' ? '' : `:${reads[tensor]}`}`;
    });
    step.operands.forEach(({ tensor }, i) => {
      if (step.kernel.operands[i]!.access === 'read') reads[tensor]!++;
      else [writes[tensor], reads[tensor]] = [writes[tensor]! + 1, 0];
    });
    return [step, before.join()];
  });
  return new Map(seen);
}

/** Layers of few weights on much data, each of which keeps what its weights' gradient needs. */
const layers = (depth: number): Graph =>
  trace((t) => {
    const ws = Array.from({ length: depth }, (_, i) => t.state(`w${i}`, [16, 16]));
    const loss = ws
      .reduce((x, w) => x.matmul(w).tanh(), t.input('x', [4096, 16]))
      .square()
      .mean();
    const scale = t.input('scale', []);
    const gradients = grad(loss.mul(scale), ws).map((g) => g.div(scale));
    const norm = squaredNorms(gradients).sum().sqrt();
    const updates = ws.map((w, i) => [`w${i}`, w.sub(gradients[i]!.div(norm))] as const);
    return { outputs: { loss }, updates: Object.fromEntries(updates) };
  });

describe('steps in another order', () => {
  it.for([0, 1, 2])('read and overwrite the same values: network %i', (seed) => {
    const program = lowered(unetLike(seed));
    const ordered = schedule(program);
    expect(ordered.steps).toHaveLength(program.steps.length);
    expect(ordered.steps).not.toEqual(program.steps);
    const [before, after] = [seenBy(program), seenBy(ordered)];
    for (const [step, seen] of before) expect(after.get(step), step.kernel.name).toBe(seen);
  });

  it('free what gradients of weights were kept for, whatever is done to those at the end', () => {
    const depth = 12;
    const activation = 4096 * 16 * 4;
    const program = lowered(layers(depth));
    // Without the order, what flows back is kept beside every activation.
    expect(working(program)).toBeGreaterThan(1.5 * depth * activation);
    expect(working(schedule(program))).toBeLessThan((depth + 4) * activation);
  });
});

describe('what is remade for the gradient of a weight', () => {
  const n = 64;
  /** Layers of `layer` between products, on [256, n]. */
  const network = (layer: (t: Tracer, x: Tensor, i: number) => Tensor): Graph =>
    trace((t) => {
      let x = t.input('x', [1, 256, n]);
      const ws: Tensor[] = [];
      for (let i = 0; i < 8; i++) {
        const w = t.state(`w${i}`, [n, n]);
        ws.push(w);
        x = x.add(layer(t, x, i).reshape([1, 256, n]).matmul(w));
      }
      const loss = x.square().mean();
      const updates = grad(loss, ws).map((g, i) => [`w${i}`, ws[i]!.sub(g)] as const);
      return { outputs: { loss }, updates: Object.fromEntries(updates) };
    });
  const one = 256 * n * 4;

  it('a layer norm keeps its operand only', () => {
    const graph = network((t, x, i) =>
      layerNorm(x, t.weight(`g${i}`, [n]), t.weight(`b${i}`, [n])),
    );
    // 8 residuals; were results kept too, 16.
    expect(planStep(graph, { target: gpu }).memory.activations).toBeLessThan(13 * one);
  });

  it('a gated activation keeps its operand only', () => {
    const graph = network((t, x, i) => geglu(x.matmul(t.weight(`up${i}`, [n, 2 * n]))));
    // 8 operands of twice the size; were results kept too, 24.
    expect(planStep(graph, { target: gpu }).memory.activations).toBeLessThan(22 * one);
  });

  it('a group norm and its activation keep its operand only', () => {
    const graph = trace((t) => {
      let x = t.input('x', [1, 16, 16, 16]);
      const ws: Tensor[] = [];
      for (let i = 0; i < 8; i++) {
        const w = t.state(`w${i}`, [16, 16, 3, 3]);
        ws.push(w);
        const norm = groupNorm(x, t.weight(`g${i}`, [16]), t.weight(`b${i}`, [16]), {
          groups: 4,
          eps: 1e-5,
        });
        x = apply('conv2d', [silu(norm), w], { stride: [1, 1], padding: [1, 1, 1, 1] });
      }
      const loss = x.square().mean();
      const updates = grad(loss, ws).map((g, i) => [`w${i}`, ws[i]!.sub(g)] as const);
      return { outputs: { loss }, updates: Object.fromEntries(updates) };
    });
    const { memory, peak } = planStep(graph, { target: gpu });
    const picture = 16 * 16 * 16 * 4;
    const weight = 16 * 16 * 9 * 4;
    expect(memory.activations).toBeLessThan(8 * weight + 13 * picture);
    // Nothing that the norms' kernels wrote is kept but means and deviations.
    const norms = peak.filter(({ kind }) => kind === 'group');
    expect(norms.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(2 * picture);
  });
});

it('what is held at the peak is told by kind', () => {
  const program = schedule(lowered(layers(12)));
  const rows = atPeak(program);
  expect(rows.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['input', 'matmul']));
  const held = rows.reduce((sum, { bytes }) => sum + bytes, 0);
  // All of it, and between tensors there is next to nothing.
  expect(held).toBeLessThanOrEqual(working(program));
  expect(held).toBeGreaterThan(0.9 * working(program));
});
