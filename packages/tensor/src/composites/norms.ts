/** @file Normalisations. Their results carry mean and inverse deviation along, which the gradients read. */
import { failureIn } from '../errors.ts';
import { showShape } from '../graph/types.ts';
import type { Tensor } from '../trace/tensor.ts';
import { composite } from './define.ts';

type LayerNormOptions = { readonly eps: number };
type GroupNormOptions = { readonly groups: number; readonly eps: number };

/** (dy, x, gamma, mean, invStd) -> dx, with g = dy gamma and h the normalised x: invStd (g - mean(g) - h mean(g h)) */
const layerNormGrad = composite<LayerNormOptions>('layerNormGrad', {
  define: ([dy, x, gamma, mean, invStd]) => {
    const g = dy!.mul(gamma!);
    const h = x!.sub(mean!).mul(invStd!);
    const inner = g
      .sub(g.mean(-1, { keepDims: true }))
      .sub(h.mul(g.mul(h).mean(-1, { keepDims: true })));
    return [inner.mul(invStd!)];
  },
});
const layerNormComposite = composite<LayerNormOptions>('layerNorm', {
  define: ([x, gamma, beta], { eps }) => {
    const mean = x!.mean(-1, { keepDims: true });
    const centred = x!.sub(mean);
    const invStd = centred.square().mean(-1, { keepDims: true }).add(eps).rsqrt();
    return [centred.mul(invStd).mul(gamma!).add(beta!), mean, invStd];
  },
  gradient: ({ inputs: [x, gamma], outputs: [, mean, invStd], cotangent, wanted, options }) => {
    const others = cotangent.shape.map((_, i) => i).slice(0, -1);
    return [
      wanted[0] ? layerNormGrad([cotangent, x!, gamma!, mean!, invStd!], options)[0] : undefined,
      wanted[1] ? cotangent.mul(x!.sub(mean!).mul(invStd!)).sum(others) : undefined,
      wanted[2] ? cotangent.sum(others) : undefined,
    ];
  },
});
/** Over the last axis of x [..., C], then times gamma [C] plus beta [C] (Ba et al. 2016; the variance is the biased one). */
export function layerNorm(x: Tensor, gamma: Tensor, beta: Tensor, eps = 1e-5): Tensor {
  return layerNormComposite([x, gamma, beta], { eps })[0]!;
}

const perGroup = (x: Tensor, groups: number): Tensor => x.reshape([x.shape[0]!, groups, -1]);
const perChannel = (p: Tensor, x: Tensor): Tensor =>
  p.reshape([1, x.shape[1]!, ...x.shape.slice(2).map(() => 1)]);

const groupNormGrad = composite<GroupNormOptions>('groupNormGrad', {
  define: ([dy, x, gamma, mean, invStd], { groups }) => {
    const g = perGroup(dy!.mul(perChannel(gamma!, x!)), groups);
    const h = perGroup(x!, groups).sub(mean!).mul(invStd!);
    const inner = g
      .sub(g.mean(-1, { keepDims: true }))
      .sub(h.mul(g.mul(h).mean(-1, { keepDims: true })));
    return [inner.mul(invStd!).reshape(x!.shape)];
  },
});
const groupNormComposite = composite<GroupNormOptions>('groupNorm', {
  define: ([x, gamma, beta], { groups, eps }) => {
    const grouped = perGroup(x!, groups);
    const mean = grouped.mean(-1, { keepDims: true });
    const centred = grouped.sub(mean);
    const invStd = centred.square().mean(-1, { keepDims: true }).add(eps).rsqrt();
    return [
      centred.mul(invStd).reshape(x!.shape).mul(perChannel(gamma!, x!)).add(perChannel(beta!, x!)),
      mean,
      invStd,
    ];
  },
  gradient: ({ inputs: [x, gamma], outputs: [, mean, invStd], cotangent, wanted, options }) => {
    const others = cotangent.shape.map((_, i) => i).filter((i) => i !== 1);
    const normalised = () => perGroup(x!, options.groups).sub(mean!).mul(invStd!).reshape(x!.shape);
    return [
      wanted[0] ? groupNormGrad([cotangent, x!, gamma!, mean!, invStd!], options)[0] : undefined,
      wanted[1] ? cotangent.mul(normalised()).sum(others) : undefined,
      wanted[2] ? cotangent.sum(others) : undefined,
    ];
  },
});
/** Over each of `groups` groups of channels of x [N,C,...], then times gamma [C] plus beta [C] (Wu and He 2018). Throws UserError if the groups do not divide C. */
export function groupNorm(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  { groups, eps }: { groups: number; eps: number },
): Tensor {
  if (x.rank < 2 || x.shape[1]! % groups !== 0)
    throw failureIn(
      'groupNorm',
      x.builder.path,
    )(`the channels of ${showShape(x.shape)} do not divide into ${groups} groups`);
  return groupNormComposite([x, gamma, beta], { groups, eps })[0]!;
}
