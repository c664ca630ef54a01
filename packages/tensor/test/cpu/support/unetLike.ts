/** @file Small networks made up from a seed, of the layers that a U-Net is made of, with a step of gradient descent. */
import type { Graph } from '../../../src/graph/types.ts';
import {
  apply,
  attention,
  concat,
  draws,
  geglu,
  grad,
  groupNorm,
  layerNorm,
  silu,
  type Shape,
  type Tensor,
  trace,
  type Tracer,
} from '../../../src/index.ts';

type Pick = (below: number) => number;
const choose = <T>(pick: Pick, list: readonly T[]): T => list[pick(list.length)]!;
const GROUPS = 2;

class Network {
  readonly trained = new Map<string, Tensor>();
  readonly #t: Tracer;
  readonly #pick: Pick;
  #count = 0;

  constructor(t: Tracer, pick: Pick) {
    this.#t = t;
    this.#pick = pick;
  }

  /** Frozen, or a state, one in three; a state's gradient is a result. Scaled so that signals keep their size. */
  #parameter(shape: Shape, fanIn = 1): Tensor {
    const name = `p${this.#count++}`;
    const trained = this.#pick(3) === 0;
    const parameter = trained ? this.#t.state(name, shape) : this.#t.weight(name, shape);
    if (trained) this.trained.set(name, parameter);
    return parameter.mul(1 / Math.sqrt(fanIn));
  }

  linear(x: Tensor, out: number): Tensor {
    const width = x.shape.at(-1)!;
    const product = x.matmul(this.#parameter([out, width], width), { transposeB: true });
    return this.#pick(4) === 0 ? product : product.add(this.#parameter([out]));
  }

  conv(x: Tensor, out: number, k: number, attrs = this.#attrs(k)): Tensor {
    const c = x.shape[1]!;
    // A plain weight more often than a scaled one: that is what the fast paths look for.
    const w = this.#pick(4)
      ? this.#t.weight(`k${this.#count++}`, [out, c, k, k])
      : this.#parameter([out, c, k, k], 1);
    const y = apply('conv2d', [x, w], attrs).mul(1 / (k * Math.sqrt(c)));
    return y.add(this.#parameter([out]).reshape([1, out, 1, 1]));
  }

  #attrs(k: number) {
    const p = (k - 1) / 2;
    return { stride: [1, 1], padding: [p, p, p, p] } as const;
  }

  #norm(x: Tensor): Tensor {
    const c = x.shape[1]!;
    return groupNorm(x, this.#parameter([c]), this.#parameter([c]), { groups: GROUPS, eps: 1e-3 });
  }

  resnet(x: Tensor, embedding: Tensor, out: number): Tensor {
    const h = this.conv(silu(this.#norm(x)), out, 3);
    const shift = this.linear(silu(embedding), out).unsqueeze(-1).unsqueeze(-1);
    const y = this.conv(silu(this.#norm(h.add(shift))), out, choose(this.#pick, [1, 3]));
    return (x.shape[1] === out ? x : this.conv(x, out, 1)).add(y);
  }

  transformer(x: Tensor, context: Tensor): Tensor {
    const [n, c, h, w] = x.shape as [number, number, number, number];
    const heads = choose(this.#pick, [1, 2]);
    let rows = this.conv(this.#norm(x), c, 1)
      .reshape([n, c, h * w])
      .permute([0, 2, 1]);
    const normed = () => layerNorm(rows, this.#parameter([c]), this.#parameter([c]), 1e-3);
    for (const source of [undefined, context]) {
      const q = normed();
      const from = source ?? q;
      const mixed = attention(this.linear(q, c), this.linear(from, c), this.linear(from, c), {
        heads,
        causal: source === undefined && this.#pick(4) === 0,
      });
      rows = rows.add(this.linear(mixed, c));
    }
    rows = rows.add(this.linear(geglu(this.linear(normed(), 4 * c)), c));
    return x.add(rows.permute([0, 2, 1]).reshape([n, c, h, w]));
  }

  down(x: Tensor): Tensor {
    const padding = choose(this.#pick, [[1, 1, 1, 1] as const, [0, 0, 1, 1] as const]);
    return this.conv(x, x.shape[1]!, 3, { stride: [2, 2], padding } as never);
  }

  up(x: Tensor): Tensor {
    const [n, c, h, w] = x.shape as [number, number, number, number];
    const repeated = x.reshape([n, c, h, 1, w, 1]).broadcastTo([n, c, h, 2, w, 2]);
    return this.conv(repeated.reshape([n, c, 2 * h, 2 * w]), c, 3);
  }
}

/** One step: outputs `loss`, `y` and `slope` (of the context); every trained state moves down its gradient. */
export function unetLike(seed: number): Graph {
  let drawn = 0;
  const pick: Pick = (below) => draws(seed).integers('pick', drawn++, [], below).data[0]!;
  return trace((t) => {
    const net = new Network(t, pick);
    const [batch, width] = [1 + pick(3), choose(pick, [4, 6])];
    const [h, w] = choose(pick, [
      [4, 4] as const,
      [8, 4] as const,
      [8, 8] as const,
      [12, 8] as const,
    ]);
    const context = t.input('context', [batch, 2 + pick(5), 5]);
    const embedding = t.input('embedding', [batch, 7]);
    const block = (name: string, body: () => Tensor): Tensor =>
      t.at(name, () => (pick(3) === 0 ? t.recompute(body) : body()));

    let x = net.conv(t.input('x', [batch, 3, h, w]), width, 3);
    const skips = [x];
    x = block('down.0', () => net.resnet(x, embedding, width));
    x = block('down.0.attention', () => net.transformer(x, context));
    skips.push(x);
    x = block('down.0.downsampler', () => net.down(x));
    const inner = choose(pick, [width, 2 * width]);
    x = block('mid', () => net.resnet(x, embedding, inner));
    x = block('mid.attention', () => net.transformer(x, context));
    x = block('up.0.upsampler', () => net.up(x));
    while (skips.length > 0) {
      const skip = skips.pop()!;
      x = block(`up.${skips.length}`, () => net.resnet(concat([x, skip], 1), embedding, width));
    }
    const y = net.conv(silu(x), 3, 3);
    const loss = y.sub(t.input('target', y.shape)).square().mean();
    const names = [...net.trained.keys()];
    const [slope, ...slopes] = grad(loss, [context, ...net.trained.values()]);
    return {
      outputs: { loss, y, slope: slope! },
      updates: Object.fromEntries(
        slopes.map((g, i) => [names[i]!, net.trained.get(names[i]!)!.sub(g.mul(0.1))]),
      ),
    };
  });
}
