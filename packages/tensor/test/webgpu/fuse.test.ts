/** @file What becomes one kernel, and what lies in memory: decisions on graphs, without a device. */
import { describe, expect, it } from 'vitest';
import { prepare } from '../../src/backends/webgpu/backend.ts';
import { lower } from '../../src/backends/webgpu/lower.ts';
import type { Graph } from '../../src/graph/types.ts';
import {
  apply,
  attention,
  concat,
  grad,
  groupNorm,
  silu,
  type Tensor,
  trace,
} from '../../src/index.ts';
import { large as gpu } from './targets.ts';

const programOf = (graph: Graph, target = gpu) =>
  lower(prepare(graph, target, 'f32'), target, { precision: 'f32' });
/** Names of kernels, without their tiles. */
const kernels = (graph: Graph, target = gpu): string[] =>
  programOf(graph, target).steps.map(({ kernel }) => kernel.name.split(' ')[0]!);

describe('one kernel', () => {
  it('does a chain of element-wise operations with what moves elements between them', () => {
    const graph = trace((t) => {
      const x = t.input('x', [4, 6]);
      const y = x
        .exp()
        .transpose()
        .mul(2)
        .reshape([3, 8])
        .add(t.input('b', [8]));
      return { outputs: { y: concat([y.tanh(), y.slice(0, 0, 1)], 0) } };
    });
    // y has two readers, both of them within the concat.
    expect(kernels(graph)).toEqual(['concat']);
  });

  it('reads through a reduction’s operand and does what follows it', () => {
    const graph = trace((t) => ({
      outputs: { y: t.input('x', [4, 100]).square().mean(-1).add(1e-5).sqrt() },
    }));
    expect(kernels(graph)).toEqual(['reduceSum']);
  });

  it('is a product with its bias, its activation and the residual', () => {
    const graph = trace((t) => {
      const x = t.input('x', [64, 32]);
      const h = x.matmul(t.weight('w', [48, 32]), { transposeB: true }).add(t.weight('b', [48]));
      return { outputs: { y: silu(h).add(t.input('r', [64, 48])) } };
    });
    expect(kernels(graph).filter((name) => name !== 'matmul')).toEqual([]);
  });

  it('is a group norm with its activation, though a gradient needs what lies between', () => {
    const graph = trace((t) => {
      const x = t.input('x', [2, 8, 4, 4]);
      const norm = groupNorm(x, t.weight('g', [8]), t.weight('b', [8]), { groups: 2, eps: 1e-5 });
      const y = silu(norm);
      return { outputs: { y, dx: grad(y.sum(), [x])[0]! } };
    });
    const program = programOf(graph);
    const forward = program.steps.filter(({ kernel }) => kernel.name.startsWith('group norm '));
    const steps = program.steps.map(({ kernel }) => kernel.name);
    expect(forward.length, steps.join()).toBeGreaterThan(0);
    // The activation has no kernel of its own: after the norm come its gradients.
    expect(steps.filter((name) => name === 'mul' || name === 'sigmoid').length).toBeLessThan(2);
  });

  it('updates states in place, those that share a computation together', () => {
    const graph = trace((t) => {
      const [p, m, v] = ['p', 'm', 'v'].map((name) => t.state(name, [1000])) as [
        Tensor,
        Tensor,
        Tensor,
      ];
      const g = t.input('g', [1000]);
      const next = m.mul(0.9).add(g.mul(0.1));
      const second = v.mul(0.99).add(g.square().mul(0.01));
      return {
        outputs: {},
        updates: { m: next, v: second, p: p.sub(next.div(second.sqrt().add(1e-8))) },
      };
    });
    const program = programOf(graph);
    expect(program.steps.map(({ kernel }) => kernel.name)).toEqual(['update']);
    expect(program.copies).toEqual([]);
    expect(program.steps[0]!.operands).toHaveLength(4);
  });
});

describe('states', () => {
  it('that another reads at other places are kept beside their next value', () => {
    const graph = trace((t) => {
      const s = t.state('s', [4, 4]);
      return { outputs: {}, updates: { s: s.add(s.transpose()) } };
    });
    const program = programOf(graph);
    expect(program.copies).toHaveLength(1);
  });

  it('move on after all that read them', () => {
    const graph = trace((t) => {
      const [a, b] = [t.state('a', [8]), t.state('b', [8])];
      // b reads a as a whole, a reads only itself.
      return { outputs: {}, updates: { a: a.add(1), b: b.add(a.sum()) } };
    });
    const { steps, copies } = programOf(graph);
    const names = steps.map(({ kernel }) => kernel.name.split(' ')[0]);
    expect(names.slice(0, -2)).toEqual(['reduceSum']);
    expect(names.slice(-2)).toEqual(['update', 'update']);
    expect(copies).toEqual([]);
  });
});

describe('no kernel', () => {
  it('is bound to more than the device allows', () => {
    const graph = trace((t) => {
      const xs = Array.from({ length: 40 }, (_, i) => t.input(`x${i}`, [4]));
      return {
        outputs: {
          sum: xs.reduce((a, b) => a.add(b)).exp(),
          joined: concat(xs.map((x) => x.exp())),
        },
      };
    });
    for (const target of [gpu, { ...gpu, bindings: 8 }])
      for (const { kernel } of programOf(graph, target).steps)
        expect(kernel.operands.length).toBeLessThanOrEqual(target.bindings);
  });

  it('is bound to more of a tensor than one binding shows', () => {
    const target = { ...gpu, bindingBytes: 1024 };
    const graph = trace((t) => {
      const table = t.weight('table', [100, 10]);
      const rows = table.gather(t.input('ids', [3], 'i32'));
      return { outputs: { y: rows.matmul(table, { transposeB: true }) } };
    });
    const { steps, tensors } = programOf(graph, target);
    const table = tensors.findIndex(({ origin }) => origin.kind === 'weight');
    for (const { operands } of steps)
      for (const { bytes } of operands) expect(bytes).toBeLessThanOrEqual(1024);
    // 4000 bytes are four windows, which follow on each other.
    const windows = steps[0]!.operands.filter(({ tensor }) => tensor === table);
    expect(windows.map(({ from, bytes }) => [from, bytes])).toEqual([
      [0, 1024],
      [1024, 1024],
      [2048, 1024],
      [3072, 928],
    ]);
  });

  it('has no idle workgroups where one row cannot hold them all', () => {
    const size = 2 * 3 * gpu.workgroupSize * 2 ** 15;
    const graph = trace((t) => ({ outputs: { y: t.input('x', [size]).exp() } }));
    const [x, y] = programOf(graph, gpu).steps[0]!.kernel.workgroups;
    expect(y).toBeGreaterThan(1);
    // As many as make the rows equally long.
    expect(x * y - size / Math.min(256, gpu.workgroupSize)).toBeLessThan(y);
  });

  it('is bound to one tensor twice', () => {
    const graph = trace((t) => {
      const x = t.input('x', [1, 8, 8]);
      const square = apply('matmul', [x, x], { transposeA: false, transposeB: true });
      return { outputs: { square, mixed: attention(x, x, x, { heads: 2 }) } };
    });
    for (const { operands } of programOf(graph).steps)
      expect(new Set(operands.map(({ tensor }) => tensor)).size).toBe(operands.length);
  });
});
