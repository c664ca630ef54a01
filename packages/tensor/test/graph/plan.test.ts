import { describe, expect, it } from 'vitest';
import { planMemory } from '../../src/graph/plan.ts';
import {
  apply,
  composite,
  grad,
  nullBackend,
  type Tensor,
  trace,
  type Traced,
  type Tracer,
} from '../../src/index.ts';

const plan = (body: (t: Tracer) => Traced) => planMemory(trace(body));

describe('by hand', () => {
  it('counts weights once, constants by their stored numbers, and states', () => {
    const { weights, state } = plan((t) => {
      const w = t.weight('w', [10]);
      const again = t.at('elsewhere', () => t.weight('w', [10]));
      const s = t.state('s', [3]);
      const y = w
        .add(again)
        .add(t.constant(2))
        .sum()
        .add(s)
        .add(t.constant([1, 2, 3]));
      t.weight('unused', [1000]);
      t.state('unread', [5]);
      return { outputs: { y } };
    });
    // w, the number 2, and [1, 2, 3]
    expect(weights).toBe(40 + 4 + 12);
    expect(state).toBe(12 + 20);
  });

  it('counts results twice, from the start, where they come back as copies', () => {
    // a and b are intermediates of 400 bytes each, alive together; y of 400 and the next value of s of 4 lie apart.
    const graph = trace((t) => {
      const b = t.input('x', [100]).exp().sin();
      const y = b.cos();
      return { outputs: { y }, updates: { s: t.state('s', []).add(y.sum()) } };
    });
    const { activations } = planMemory(graph, { donate: false, copied: true });
    expect(activations).toBe(400 + 2 * (400 + 4) + 800);
  });

  it('frees an intermediate after its last reader', () => {
    // x 100; a 100; b 100: b is made while a is alive; c while b is: 4 * (x + a + b) at the peak.
    const { activations } = plan((t) => ({
      outputs: { y: t.input('x', [100]).exp().sin().cos() },
    }));
    expect(activations).toBe(400 + 800);
  });

  it('keeps what is read again later', () => {
    const { activations } = plan((t) => {
      const a = t.input('x', [100]).exp();
      return { outputs: { y: a.sin().cos().add(a) } };
    });
    // x, a, and two of the chain
    expect(activations).toBe(400 + 400 + 800);
  });

  it('lets a reshape be the tensor that it shows', () => {
    const { activations } = plan((t) => {
      const a = t.input('x', [100]).exp();
      const view = a.reshape([10, 10]).stopGradient();
      return { outputs: { y: view.sin().sum() } };
    });
    // x and a; then sin beside a, whose view is read there last; then the sum of 4 bytes
    expect(activations).toBe(400 + 800);
  });

  it('keeps outputs to the end and counts types by their size', () => {
    const { activations } = plan((t) => {
      const x = t.input('x', [100]);
      const big = x.exp();
      return { outputs: { big, small: big.less(0), next: x.sin().cos() } };
    });
    // x 400, big 400, small 100, then sin and cos
    expect(activations).toBe(400 + 400 + 100 + 800);
  });

  it('gives the results of a composite up one by one', () => {
    const three = composite<Record<string, never>>('three', {
      define: ([x]) => [x!.exp(), x!.sum(), x!.sin()],
    });
    const { activations } = plan((t) => {
      const [a, , c] = three([t.input('x', [100])], {});
      const d = a!.cos();
      return { outputs: { y: d.add(c!) } };
    });
    // x 400; a 400, the sum 4 (read by nobody: gone), c 400; d is made while a and c are there; a goes; y beside c and d
    expect(activations).toBe(400 + 1200);
    expect(activations).toBe(400 + Math.max(400 + 4 + 400, 400 + 400 + 400));
  });

  it('writes the next state over the old one where nobody reads that later', () => {
    const step = (late: boolean) =>
      plan((t) => {
        const s = t.state('s', [10, 10]);
        const before = late ? undefined : s.sum();
        const next = s.matmul(s);
        const after = late ? s.sum() : before!;
        return { outputs: { y: after }, updates: { s: next } };
      }).activations;
    expect(step(false)).toBe(4);
    expect(step(true)).toBe(400 + 4);
  });

  it('takes element-wise updates for one pass at the end, which keeps nothing', () => {
    const { activations } = plan((t) => {
      const [s, m] = [t.state('s', [100]), t.state('m', [100])];
      const slope = s.exp().sum().exp();
      const gradient = s.mul(slope).sin();
      const mean = m.mul(0.9).add(gradient.mul(0.1));
      const moved = s.sub(mean.div(mean.square().sqrt().add(1)));
      return { outputs: { slope }, updates: { s: moved, m: mean } };
    });
    // The slope, and two at a time of: the slope repeated, its product with s, and the sine of that, which is the gradient.
    expect(activations).toBe(4 + 400 + 400);
  });

  it('holds what a barrier waits for until it is there', () => {
    const { activations } = plan((t) => {
      const x = t.input('x', [100]);
      const ticket = x.exp();
      const small = ticket.sum();
      const y = apply('barrier', [x.sin().cos(), ticket], {});
      return { outputs: { y, small } };
    });
    // x, ticket, the sum, sin, cos
    expect(activations).toBe(400 + 400 + 4 + 800);
  });
});

describe('recompute', () => {
  const depth = 8;
  const [batch, width] = [64, 32];
  const network = (checkpoint: boolean) =>
    trace((t) => {
      const weights = Array.from({ length: depth }, (_, i) => t.state(`w.${i}`, [width, width]));
      let x: Tensor = t.input('x', [batch, width]);
      for (const w of weights) {
        const layer = (): Tensor => x.matmul(w).sin().mul(x.matmul(w).cos()).sigmoid();
        x = checkpoint ? t.recompute(layer) : layer();
      }
      const slopes = grad(x.square().mean(), weights);
      return {
        outputs: { loss: x.square().mean() },
        updates: Object.fromEntries(slopes.map((g, i) => [`w.${i}`, weights[i]!.sub(g)])),
      };
    });

  it('lowers the planned peak towards one tensor a layer', async () => {
    const kept = (await nullBackend.compile(network(false))).memory;
    const again = (await nullBackend.compile(network(true))).memory;
    const layer = batch * width * 4;
    // Kept for the gradient: the product, its sine and cosine, and the result of each layer.
    expect(kept.activations).toBeGreaterThan((depth - 1) * 4 * layer);
    expect(again.activations).toBeLessThan((depth + 8) * layer);
    expect(again.weights).toBe(kept.weights);
    expect(again.state).toBe(depth * width * width * 4);
    expect(again.total).toBe(again.weights + again.state + again.activations);
  });
});
