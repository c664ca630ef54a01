import { describe, expect, it } from 'vitest';
import { expandComposites } from '../../src/graph/walk.ts';
import {
  attention,
  composite,
  draws,
  geglu,
  gelu,
  grad,
  groupNorm,
  layerNorm,
  quickGelu,
  type Shape,
  silu,
  softmax,
  type Tensor,
  trace,
} from '../../src/index.ts';
import { inline } from '../support/inline.ts';
import { evaluate, weigh } from '../support/numerical.ts';

interface Drawn {
  readonly shapes: readonly Shape[];
  readonly apply: (inputs: Tensor[]) => Tensor;
}
/** An integer from `low` to `high`, the k-th of a trial. */
type Pick = (k: number, low: number, high: number) => number;

const composites: Readonly<Record<string, (pick: Pick) => Drawn>> = {
  silu: (pick) => ({ shapes: [[pick(0, 1, 5), pick(1, 1, 7)]], apply: ([x]) => silu(x!) }),
  quickGelu: (pick) => ({ shapes: [[pick(0, 1, 9)]], apply: ([x]) => quickGelu(x!) }),
  gelu: (pick) => ({ shapes: [[pick(0, 1, 5), 1, pick(1, 1, 4)]], apply: ([x]) => gelu(x!) }),
  geglu: (pick) => ({ shapes: [[pick(0, 1, 5), 2 * pick(1, 1, 4)]], apply: ([x]) => geglu(x!) }),
  softmax: (pick) => ({
    shapes: [[pick(0, 1, 4), pick(1, 1, 5), pick(2, 1, 6)]],
    apply: ([x]) => softmax(x!, pick(3, -3, 2)),
  }),
  layerNorm: (pick) => {
    const c = pick(0, 2, 9);
    return {
      shapes: [[pick(1, 1, 3), pick(2, 1, 4), c], [c], [c]],
      apply: ([x, gamma, beta]) => layerNorm(x!, gamma!, beta!),
    };
  },
  groupNorm: (pick) => {
    const groups = pick(0, 1, 3);
    const c = groups * pick(1, 1, 3);
    return {
      shapes: [[pick(2, 1, 3), c, pick(3, 2, 5), pick(4, 1, 5)], [c], [c]],
      apply: ([x, gamma, beta]) => groupNorm(x!, gamma!, beta!, { groups, eps: 1e-5 }),
    };
  },
  attention: (pick) => {
    const heads = pick(0, 1, 3);
    const causal = pick(1, 0, 1) === 1;
    const [b, lq, d] = [pick(2, 1, 2), pick(3, 1, 5), heads * pick(4, 1, 3)];
    const lk = causal ? lq : pick(5, 1, 6);
    return {
      shapes: [
        [b, lq, d],
        [b, lk, d],
        [b, lk, heads * pick(6, 1, 3)],
      ],
      apply: ([q, k, v]) => attention(q!, k!, v!, { heads, causal }),
    };
  },
};

/** Gradients of sum(f(inputs) * c) with the composites as they are, and with all of them spelled out before grad sees them. */
function bothWays({ shapes, apply }: Drawn): [Map<string, ArrayLike<number>>, typeof spelled] {
  const plain = expandComposites(
    trace((t) => ({
      outputs: { y: apply(shapes.map((s, k) => t.input(`in.${k}`, s))) },
    })),
  );
  const gradients = (way: 'by hand' | 'spelled out') =>
    trace((t) => {
      const inputs = shapes.map((s, k) => t.input(`in.${k}`, s));
      const named = Object.fromEntries(inputs.map((x, k) => [`in.${k}`, x]));
      const y = way === 'by hand' ? apply(inputs) : inline(t, plain, named).y!;
      const slopes = grad(weigh(t, y, 'cotangent'), inputs);
      return { outputs: Object.fromEntries(slopes.map((g, k) => [`grad.${k}`, g])) };
    });
  const random = draws(3);
  const given = new Map(
    shapes.map((s, k) => [`in.${k}`, Float64Array.from(random.normal(`in.${k}`, 0, s).data)]),
  );
  const byHand = evaluate(gradients('by hand'), given);
  const spelled: Map<string, ArrayLike<number>> = evaluate(gradients('spelled out'), given);
  return [byHand, spelled];
}

describe('a gradient by hand is the gradient of the definition', () => {
  describe.for(Object.entries(composites))('%s', ([name, draw]) => {
    it.for(Array.from({ length: 12 }, (_, trial) => trial))(
      'on random shapes, trial %i',
      (trial) => {
        const pick: Pick = (k, low, high) =>
          low + draws(trial).integers(`${name} ${k}`, 0, [1], high - low + 1).data[0]!;
        const [byHand, spelled] = bothWays(draw(pick));
        for (const [key, want] of spelled) {
          const got = byHand.get(key)!;
          const largest = Math.max(...Array.from(want, Math.abs));
          // Rounding of double precision; where the mean square is near eps, the norms amplify it some thousand times.
          for (let i = 0; i < want.length; i++)
            expect(Math.abs(got[i]! - want[i]!), `${key}[${i}]`).toBeLessThan(
              1e-11 * largest + 1e-11,
            );
        }
      },
    );
  });
});

describe('composites without a gradient of their own', () => {
  const cube = composite<Record<string, never>>('cube', {
    define: ([x]) => [x!.mul(x!).mul(x!), x!.mul(2)],
  });
  const product = composite<Record<string, never>>('product', { define: ([a, b]) => [a!.mul(b!)] });
  const slopesAt = (x: number, loss: (x: Tensor) => Tensor): number =>
    evaluate(
      trace((t) => {
        const point = t.input('x', []);
        return { outputs: { slope: grad(loss(point), [point])[0]! } };
      }),
      new Map([['x', Float64Array.of(x)]]),
    ).get('slope')![0]!;

  it('are differentiated through their definition', () => {
    expect(slopesAt(3, (x) => cube([x], {})[0]!)).toBe(27);
  });
  it('pass on what flows into every result', () => {
    expect(slopesAt(3, (x) => cube([x], {})[0]!.add(cube([x], {})[1]!.mul(x)))).toBe(27 + 12);
  });
  it('may get their own input as the cotangent', () => {
    expect(slopesAt(3, (x) => x.mul(cube([x], {})[0]!))).toBe(4 * 27);
  });
  it('may read one tensor twice, or tensors made of one another', () => {
    expect(slopesAt(3, (x) => product([x, x], {})[0]!)).toBe(6);
    expect(slopesAt(3, (x) => product([x, x.mul(x)], {})[0]!)).toBe(27);
  });
  it('may read what somebody stopped the gradient of', () => {
    expect(slopesAt(3, (x) => product([x, x.stopGradient()], {})[0]!)).toBe(3);
  });
});
