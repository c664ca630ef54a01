/** @file Many small states, updated in one dispatch. */
import { describe, expect, it } from 'vitest';
import { prepare, programOf } from '../../src/backends/webgpu/backend.ts';
import { layOut } from '../../src/backends/webgpu/memory.ts';
import type { Graph } from '../../src/graph/types.ts';
import { grad, reference, squaredNorms, trace } from '../../src/index.ts';
import { expectNear } from '../cpu/support/compute.ts';
import { train } from '../support/training.ts';
import { testedWebgpu } from '../support/webgpu.ts';
import { large as gpu } from './targets.ts';

const planned = (graph: Graph) => programOf(prepare(graph, gpu, 'f32'), gpu, { precision: 'f32' });
const updatesOf = (graph: Graph) =>
  planned(graph).steps.filter(({ kernel }) => kernel.name === 'update');

/** Momentum on vectors of these lengths, whose gradients are scaled by their norm. */
const momentum = (sizes: readonly number[]): Graph =>
  trace((t) => {
    const ws = sizes.map((n, i) => t.state(`w${i}`, [n]));
    const x = t.input('x', [5, 1]);
    const loss = ws.map((w) => x.mul(w).tanh().square().sum()).reduce((a, b) => a.add(b));
    const gradients = grad(loss, ws);
    const norm = squaredNorms(gradients).sum().sqrt();
    const updates = ws.flatMap((w, i) => {
      const m = t.state(`m${i}`, w.shape);
      const next = m.mul(0.9).add(gradients[i]!.div(norm));
      return [
        [`m${i}`, next],
        [`w${i}`, w.sub(next.mul(0.1))],
      ] as const;
    });
    return { outputs: { loss }, updates: Object.fromEntries(updates) };
  });
const sizes = [5, 64, 33, 7, 5];

describe('small states', () => {
  it('that are updated alike are updated together, whatever their lengths', () => {
    const program = planned(momentum(sizes));
    const [step, ...others] = updatesOf(momentum(sizes));
    expect(others).toEqual([]);
    expect(program.packs).toHaveLength(3);
    const { regions } = layOut(program, gpu);
    for (const { tensor, members } of program.packs) {
      expect(members).toHaveLength(sizes.length);
      members.forEach((one, i) => {
        const { arena, offset } = regions[one.tensor]!;
        expect([arena, offset - regions[tensor]!.offset]).toEqual([
          regions[tensor]!.arena,
          one.from,
        ]);
        const end = members[i + 1]?.from ?? program.tensors[tensor]!.size * 4;
        expect(one.from + program.tensors[one.tensor]!.size * 4).toBeLessThanOrEqual(end);
      });
    }
    expect(step!.operands.map(({ bytes }) => bytes)).toContain(4 * (8 + 64 + 36 + 8 + 8));
  });

  it('learn as in the reference', async () => {
    const wanted = await train(reference, momentum(sizes), 4);
    const got = await train(testedWebgpu(), momentum(sizes), 4);
    wanted.forEach((want, step) => expectNear(got[step]!, want, 20));
  });

  it('that are updated otherwise, that are large, or whose order counts stay apart', () => {
    const apart = trace((t) => {
      const [a, b, c] = ['a', 'b', 'c'].map((name) => t.state(name, [8]));
      // b reads the whole of a before that moves on.
      const updates = { a: a!.mul(2), b: b!.mul(a!.sum()), c: c!.mul(3) };
      return { outputs: {}, updates };
    });
    expect(updatesOf(apart)).toHaveLength(3);
    const large = trace((t) => {
      const [a, b] = ['a', 'b'].map((name) => t.state(name, [300, 300]));
      return { outputs: {}, updates: { a: a!.mul(2), b: b!.mul(2) } };
    });
    expect(updatesOf(large)).toHaveLength(2);
  });
});
