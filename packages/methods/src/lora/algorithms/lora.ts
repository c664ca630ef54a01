import { normal, zeros } from '@sdft/pipeline';
import { type Algorithm, isSpatial, kernelOf, product, tucker } from './algorithm.ts';
import { kaiming } from './starts.ts';

/**
 * LoRA (Hu et al. 2021, section 4.1): up x down, both of low rank. For a convolution (LoCon) `lora_down` [rank, in, ...kernel] carries the kernel and `lora_up` [out, rank, 1, 1]
 * mixes; with a Tucker core, `lora_mid` [rank, rank, ...kernel] does, and `lora_down` is 1x1. Source: kohya-ss/sd-scripts `networks/lora.py`, LyCORIS `modules/locon.py`.
 */
export const lora: Algorithm = {
  names: ['lora_down', 'lora_up', 'lora_mid'],
  init: (layer, { rank, tucker: core, start }) => {
    const kernel = kernelOf(layer);
    const ones = kernel.map(() => 1);
    const hasCore = core && isSpatial(layer);
    const down = [rank, layer.in, ...(hasCore ? ones : kernel)];
    return {
      lora_down: start === 'gaussian' ? normal(down, 1 / rank) : kaiming(down),
      ...(hasCore && { lora_mid: kaiming([rank, rank, ...kernel]) }),
      lora_up: zeros([layer.out, rank, ...ones]),
    };
  },
  delta: (weight, { lora_down: down, lora_up: up, lora_mid: mid }) => {
    const rank = down!.shape[0]!;
    const left = up!.reshape([-1, rank]);
    const right = down!.reshape([rank, -1]);
    return (mid ? tucker(left, mid, right) : left.matmul(right)).reshape(weight);
  },
  rank: ({ lora_down: down }) => down![0]!,
  size: ({ lora_down: down, lora_up: up, lora_mid: mid }) => [
    up![0]!,
    product(down!.slice(1)) * (mid ? product(mid.slice(2)) : 1),
  ],
  outer: () => 'lora_up',
};
