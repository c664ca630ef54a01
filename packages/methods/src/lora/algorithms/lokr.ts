import { type Initial, type Parameters, zeros } from '@sdft/pipeline';
import type { Shape, Tensor } from '@sdft/tensor';
import { type Algorithm, isSpatial, kernelOf, product, tucker } from './algorithm.ts';
import { kaiming } from './starts.ts';

/**
 * LoKr (Yeh et al. 2023, LyCORIS, section 3.2): the Kronecker product of a small matrix w1 [l, m] and a larger w2 [k, n, ...kernel], where out = l k and in = m n. w2, and w1
 * where `decomposeBoth`, is of low rank (`_a` x `_b`) where that is smaller. Source: LyCORIS `modules/lokr.py`.
 */
export const lokr: Algorithm = {
  names: [
    ...['lokr_w1', 'lokr_w1_a', 'lokr_w1_b'],
    ...['lokr_w2', 'lokr_w2_a', 'lokr_w2_b', 'lokr_t2'],
  ],
  init: (layer, { rank, tucker: core, factor, decomposeBoth }) => {
    const kernel = kernelOf(layer);
    const [l, k] = factorization(layer.out, factor);
    const [m, n] = factorization(layer.in, factor);
    return {
      ...(decomposeBoth && rank < Math.max(l, m) / 2
        ? { lokr_w1_a: kaiming([l, rank]), lokr_w1_b: kaiming([rank, m]) }
        : { lokr_w1: kaiming([l, m]) }),
      ...second([k, n, ...kernel], rank, core && isSpatial(layer)),
    };
  },
  delta: (weight, p) => {
    const w1 = p['lokr_w1'] ?? p['lokr_w1_a']!.matmul(p['lokr_w1_b']!);
    const [l, m] = w1.shape as [number, number];
    const [out, input, ...kernel] = weight as [number, number, ...number[]];
    const [k, n, cells] = [out / l, input / m, product(kernel)];
    const w2 = secondOf(p).reshape([1, k, 1, n, cells]);
    return w1.reshape([l, 1, m, 1, 1]).mul(w2).reshape(weight);
  },
  // Two full matrices have no rank to divide by.
  rank: ({ lokr_w1_b: b1, lokr_w2_b: b2 }) => (b2 ?? b1)?.[0],
  size: (p) => {
    const [l, m] = p['lokr_w1'] ?? [p['lokr_w1_a']![0]!, p['lokr_w1_b']![1]!];
    const [core, a, b] = [p['lokr_t2'], p['lokr_w2_a'], p['lokr_w2_b']];
    const full = p['lokr_w2'];
    const [k, inner] = full
      ? [full[0]!, product(full.slice(1))]
      : core
        ? [a![1]!, b![1]! * product(core.slice(2))]
        : [a![0]!, b![1]!];
    return [l! * k, m! * inner];
  },
  outer: ({ lokr_w1: w1 }) => (w1 ? 'lokr_w1' : 'lokr_w1_a'),
};

function second([k, n, ...kernel]: Shape, rank: number, hasCore: boolean): Parameters<Initial> {
  if (rank >= Math.max(k!, n!) / 2) return { lokr_w2: zeros([k!, n!, ...kernel]) };
  return hasCore
    ? {
        lokr_t2: kaiming([rank, rank, ...kernel]),
        lokr_w2_a: kaiming([rank, k!]),
        lokr_w2_b: zeros([rank, n!]),
      }
    : { lokr_w2_a: kaiming([k!, rank]), lokr_w2_b: zeros([rank, n! * product(kernel)]) };
}

function secondOf(p: Parameters<Tensor>): Tensor {
  const [full, a, b, core] = [p['lokr_w2'], p['lokr_w2_a'], p['lokr_w2_b'], p['lokr_t2']];
  return full ?? (core ? tucker(a!.transpose(), core, b!) : a!.matmul(b!));
}

/**
 * Two factors of a width, the smaller one first: `factor` and the rest where it divides the width, else the pair nearest to a square whose smaller one is at most `factor`
 * (-1: no bound). Source: LyCORIS `functional/general.py`, `factorization`.
 */
export function factorization(width: number, factor: number): readonly [number, number] {
  if (factor > 0 && width % factor === 0) {
    const rest = width / factor;
    return factor > rest ? [rest, factor] : [factor, rest];
  }
  const most = factor < 0 ? width : factor;
  let [small, large] = [1, width];
  for (let next = 2; next <= most && next * next <= width; next++)
    if (width % next === 0) [small, large] = [next, width / next];
  return [small, large];
}
