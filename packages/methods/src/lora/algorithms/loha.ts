import { normal, zeros } from '@sdft/pipeline';
import { type Algorithm, isSpatial, kernelOf, matrixOf, product, tucker } from './algorithm.ts';

/**
 * LoHa (Hyeon-Woo et al. 2021, FedPara, proposition 1): the elementwise product of two changes of low rank, (w1_a w1_b) * (w2_a w2_b), which can have the rank squared. The kernel of
 * a convolution is part of the columns, or of a Tucker core `hada_t1`, `hada_t2` [rank, rank, ...kernel] with `w_a` [rank, out] and `w_b` [rank, in]. Source: LyCORIS `modules/loha.py`.
 */
export const loha: Algorithm = {
  names: ['hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b', 'hada_t1', 'hada_t2'],
  init: (layer, { rank, tucker: core }) => {
    const [out, inner] = matrixOf(layer);
    const hasCore = core && isSpatial(layer);
    const outer = hasCore ? [rank, out] : [out, rank];
    const input = [rank, hasCore ? layer.in : inner];
    const cores = [rank, rank, ...kernelOf(layer)];
    return {
      hada_w1_a: normal(outer, 0.1),
      hada_w1_b: normal(input, 1),
      hada_w2_a: zeros(outer),
      hada_w2_b: normal(input, 1),
      ...(hasCore && { hada_t1: normal(cores, 0.1), hada_t2: normal(cores, 0.1) }),
    };
  },
  delta: (weight, p) => {
    const half = (n: 1 | 2) => {
      const [a, b, core] = [p[`hada_w${n}_a`]!, p[`hada_w${n}_b`]!, p[`hada_t${n}`]];
      return (core ? tucker(a.transpose(), core, b) : a.matmul(b)).reshape(weight);
    };
    return half(1).mul(half(2));
  },
  rank: ({ hada_w1_b: b }) => b![0]!,
  size: ({ hada_w1_a: a, hada_w1_b: b, hada_t1: core }) =>
    core ? [a![1]!, b![1]! * product(core.slice(2))] : [a![0]!, b![1]!],
  outer: () => 'hada_w1_a',
};
