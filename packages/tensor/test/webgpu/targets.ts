/** @file Devices as kernels' planners see them. */
import type { Target } from '../../src/backends/webgpu/kernel.ts';

/** What WebGPU promises at least. */
export const smallest: Target = {
  kind: 'gpu',
  f16: false,
  subgroups: undefined,
  subgroupMatrix: undefined,
  workgroupStorage: 16384,
  workgroupSize: 256,
  workgroups: 65535,
  bindings: 8,
  bindingBytes: 2 ** 27,
  bufferBytes: 2 ** 28,
  alignment: 256,
  immediates: 0,
};
/** A large card of NVIDIA's, through Vulkan. */
export const large: Target = {
  ...smallest,
  f16: true,
  subgroups: { min: 32, max: 32 },
  subgroupMatrix: { m: 16, n: 16, k: 16 },
  workgroupStorage: 49152,
  workgroupSize: 1024,
  bindings: 16,
  bindingBytes: 2 ** 31 - 4,
  bufferBytes: 2 ** 36,
  alignment: 16,
};
/** Software Vulkan of Mesa. */
export const lavapipe: Target = {
  ...smallest,
  kind: 'software',
  f16: true,
  subgroups: { min: 8, max: 8 },
  workgroupStorage: 32768,
  workgroupSize: 1024,
  bindings: 16,
  immediates: 16,
  bufferBytes: 2 ** 32 - 1,
  alignment: 16,
};
