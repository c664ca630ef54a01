import { describe, expect, it } from 'vitest';
import type { Graph } from '../../src/graph/types.ts';
import { expandComposites, needed } from '../../src/graph/walk.ts';
import {
  attention,
  draws,
  gelu,
  grad,
  groupNorm,
  hostArray,
  layerNorm,
  nullBackend,
  type Shape,
  type Tensor,
  trace,
} from '../../src/index.ts';
import { optimize } from '../../src/optimize/optimize.ts';
import { backends, expectClose } from '../support/backends.ts';

const shapes: Readonly<Record<string, Shape>> = {
  x: [2, 4, 6, 5],
  kernel: [4, 4, 3, 3],
  gamma: [4],
  projection: [4, 4],
};
/** Three layers with convolutions, norms and attention; each reads a tensor from outside of it and one that only weights make. */
const network = (checkpoint: boolean): Graph =>
  trace((t) => {
    const inputs = Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [
        name,
        name === 'projection' ? t.state(name, shape) : t.input(name, shape),
      ]),
    ) as Record<'x' | 'kernel' | 'gamma' | 'projection', Tensor>;
    const outside = inputs.gamma.exp();
    let h = inputs.x;
    for (let i = 0; i < 3; i++) {
      const layer = (): Tensor => {
        const norm = groupNorm(h, inputs.gamma, outside, { groups: 2, eps: 1e-5 });
        const flat = gelu(norm).reshape([2, 4, 30]).transpose();
        // Made of states alone: nothing but its region keeps the copy from being the original.
        const merged = inputs.projection.add(inputs.projection.transpose()).mul(0.5);
        const q = layerNorm(flat.matmul(merged), inputs.gamma, outside);
        const mixed = attention(q, flat, flat, { heads: 2 }).transpose().reshape([2, 4, 6, 5]);
        return h.add(mixed.mul(inputs.kernel.mean()));
      };
      h = checkpoint ? t.recompute(layer) : layer();
    }
    const loss = h.square().mean();
    const slopes = grad(loss, Object.values(inputs));
    return {
      outputs: {
        loss,
        ...Object.fromEntries(slopes.map((g, i) => [`grad ${Object.keys(inputs)[i]}`, g])),
      },
    };
  });

const values = Object.fromEntries(
  Object.entries(shapes).map(([name, shape]) => [
    name,
    hostArray(draws(4).normal(name, 0, shape).data, shape),
  ]),
);
const { projection, ...inputs } = values;

describe('recompute', () => {
  it.for(backends)('gives the same gradients on $backend.name', async (tested) => {
    const results = [];
    for (const graph of [network(false), network(true), optimize(network(true))]) {
      const executable = await tested.backend.compile(graph, {
        state: { projection: projection! },
      });
      results.push(await executable.run(inputs));
      await executable.dispose();
    }
    const [kept, again, optimized] = results;
    for (const [name, want] of Object.entries(kept!)) {
      // The same operations on the same numbers: equal to the last bit in the reference.
      if (tested.backend.name === 'reference') expect(again![name]!.data, name).toEqual(want.data);
      expectClose(again![name]!, want, tested, name);
      expectClose(optimized![name]!, want, tested, `${name}, optimized`);
    }
  });

  it('computes twice what is inside, and no pass merges it again', () => {
    const count = (graph: Graph, op: string) => {
      const spelled = expandComposites(graph);
      return needed(spelled).filter((live, id) => live && spelled.nodes[id]!.op === op).length;
    };
    const [kept, again] = [optimize(network(false)), optimize(network(true))];
    // The forward pass's, which the gradient of gelu shares; with recompute it shares the second one.
    expect(count(kept, 'erf')).toBe(3);
    expect(count(again, 'erf')).toBe(6);
    // Of `merged`, one for all layers and their gradients; with recompute one for each, and one again.
    const mergings = ({ nodes }: Graph) => {
      const state = nodes.findIndex((n) => n.op === 'input' && n.attrs.state);
      return nodes.filter((n) => n.op === 'add' && n.inputs.includes(state)).length;
    };
    expect([mergings(kept), mergings(again)]).toEqual([1, 4]);
  });

  it('lowers the planned peak, before and after optimization', async () => {
    const peak = async (graph: Graph) => (await nullBackend.compile(graph)).memory.activations;
    expect(await peak(network(true))).toBeLessThan(0.8 * (await peak(network(false))));
    expect(await peak(optimize(network(true)))).toBeLessThan(
      0.8 * (await peak(optimize(network(false)))),
    );
  });
});
