/** @file Activations, each with its gradient written out so that no backend has to rediscover it. */
import type { Tensor } from '../trace/tensor.ts';
import { concat } from '../trace/trace.ts';
import { composite } from './define.ts';

const none = {};
const INV_SQRT2 = Math.SQRT1_2;
const INV_SQRT_2PI = 1 / Math.sqrt(2 * Math.PI);

/** s = sigmoid(alpha x); d/dx x s = s (1 + alpha x (1 - s)) */
const siluGrad = composite<{ alpha: number }>('siluGrad', {
  define: ([dy, x], { alpha }) => {
    const s = x!.mul(alpha).sigmoid();
    return [dy!.mul(s.add(x!.mul(alpha).mul(s).mul(s.neg().add(1))))];
  },
});
const siluLike = composite<{ alpha: number }>('silu', {
  define: ([x], { alpha }) => [x!.mul(x!.mul(alpha).sigmoid())],
  gradient: ({ inputs: [x], cotangent, options }) => siluGrad([cotangent, x!], options),
});
/** x sigmoid(x), any shape (Ramachandran et al. 2017, "Swish", beta 1). */
export const silu = (x: Tensor): Tensor => siluLike([x], { alpha: 1 })[0]!;
/** x sigmoid(1.702 x), any shape: CLIP's approximation of GELU (openai/CLIP, model.py). */
export const quickGelu = (x: Tensor): Tensor => siluLike([x], { alpha: 1.702 })[0]!;

const geluGrad = composite<object & Record<string, never>>('geluGrad', {
  define: ([dy, x]) => {
    const cumulative = x!.mul(INV_SQRT2).erf().add(1).mul(0.5);
    const density = x!.square().mul(-0.5).exp().mul(INV_SQRT_2PI);
    return [dy!.mul(cumulative.add(x!.mul(density)))];
  },
});
const geluComposite = composite<object & Record<string, never>>('gelu', {
  define: ([x]) => [x!.mul(x!.mul(INV_SQRT2).erf().add(1).mul(0.5))],
  gradient: ({ inputs: [x], cotangent }) => geluGrad([cotangent, x!], none),
});
/** x Phi(x) with the exact normal distribution, any shape (Hendrycks and Gimpel 2016, equation 1). */
export const gelu = (x: Tensor): Tensor => geluComposite([x], none)[0]!;

/** (dy, x [..., 2n]) -> the cotangents of both halves, joined again. */
const gegluGrad = composite<object & Record<string, never>>('gegluGrad', {
  define: ([dy, x]) => {
    const [value, gate] = x!.chunk(2, -1);
    return [concat([dy!.mul(gelu(gate!)), geluGrad([dy!.mul(value!), gate!], none)[0]!], -1)];
  },
});
const gegluComposite = composite<object & Record<string, never>>('geglu', {
  define: ([x]) => {
    const [value, gate] = x!.chunk(2, -1);
    return [value!.mul(gelu(gate!))];
  },
  gradient: ({ inputs: [x], cotangent }) => gegluGrad([cotangent, x!], none),
});
/** [..., 2n] -> [..., n]: the first half times the GELU of the second (Shazeer 2020, "GLU Variants"; diffusers, activations.py). */
export const geglu = (x: Tensor): Tensor => gegluComposite([x], none)[0]!;
