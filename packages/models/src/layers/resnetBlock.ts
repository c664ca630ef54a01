import { silu, type Tensor } from '@sdft/tensor';
import type { Scope } from '../scope.ts';
import { conv2d } from './conv2d.ts';
import { linear } from './linear.ts';
import { groupNorm } from './norms.ts';

export interface ResnetOptions {
  readonly out: number;
  readonly groups: number;
  readonly eps: number;
  /** [B, T]: the time embedding, through SiLU already. The VAE has none. */
  readonly time?: Tensor;
}

/** x [B, C, H, W] -> [B, out, H, W] (diffusers `resnet.py`, `ResnetBlock2D`). */
export function resnetBlock(
  scope: Scope,
  x: Tensor,
  { out, groups, eps, time }: ResnetOptions,
): Tensor {
  return scope.inside(() => {
    const norm = (name: string, input: Tensor) =>
      silu(groupNorm(scope.at(name), input, { groups, eps }));
    let h = conv2d(scope.at('conv1'), norm('norm1', x), out, { kernel: 3, padding: 1 });
    if (time) h = h.add(linear(scope.at('time_emb_proj'), time, out).reshape([-1, out, 1, 1]));
    h = conv2d(scope.at('conv2'), norm('norm2', h), out, { kernel: 3, padding: 1 });
    const shortcut =
      x.shape[1] === out ? x : conv2d(scope.at('conv_shortcut'), x, out, { kernel: 1 });
    return shortcut.add(h);
  });
}
