/** @file What kernels may count on, from what an adapter says of itself. */
import type { Target } from './kernel.ts';

/** An adapter's configuration of products by a subgroup, as Dawn tells it. */
export interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

export interface AdapterFacts {
  readonly limits: Pick<
    GPUSupportedLimits,
    | 'maxBufferSize'
    | 'maxStorageBufferBindingSize'
    | 'maxStorageBuffersPerShaderStage'
    | 'maxComputeWorkgroupStorageSize'
    | 'maxComputeInvocationsPerWorkgroup'
    | 'maxComputeWorkgroupSizeX'
    | 'maxComputeWorkgroupsPerDimension'
    | 'minStorageBufferOffsetAlignment'
  > & { readonly maxImmediateSize?: number };
  readonly features: { has(name: string): boolean };
  readonly subgroups?: { readonly min: number; readonly max: number } | undefined;
  readonly subgroupMatrixConfigs?: readonly SubgroupMatrixConfig[] | undefined;
  readonly software: boolean;
}

/** Features that are used where they are there. */
export const wantedFeatures = [
  'shader-f16',
  'subgroups',
  'subgroup-size-control',
  'chromium-experimental-subgroup-matrix',
] as const;

export function targetOf({
  limits,
  features,
  subgroups,
  subgroupMatrixConfigs = [],
  software,
}: AdapterFacts): Target {
  const f16 = features.has('shader-f16');
  const hasSubgroups = features.has('subgroups');
  // Sums in f16 are wrong for training.
  const config = subgroupMatrixConfigs.find(
    ({ componentType, resultComponentType }) =>
      componentType === 'f16' && resultComponentType === 'f32',
  );
  const matrix = f16 && hasSubgroups && features.has('chromium-experimental-subgroup-matrix');
  return {
    kind: software ? 'software' : 'gpu',
    f16,
    subgroups: hasSubgroups ? (subgroups ?? { min: 4, max: 128 }) : undefined,
    subgroupMatrix: matrix && config ? { m: config.M, n: config.N, k: config.K } : undefined,
    workgroupStorage: limits.maxComputeWorkgroupStorageSize,
    workgroupSize: Math.min(
      limits.maxComputeInvocationsPerWorkgroup,
      limits.maxComputeWorkgroupSizeX,
    ),
    workgroups: limits.maxComputeWorkgroupsPerDimension,
    bindings: limits.maxStorageBuffersPerShaderStage,
    // Windows begin at multiples of any element's size and of the alignment.
    bindingBytes: Math.floor(limits.maxStorageBufferBindingSize / 256) * 256,
    bufferBytes: Math.floor(limits.maxBufferSize / 256) * 256,
    alignment: Math.max(16, limits.minStorageBufferOffsetAlignment),
    immediates: Math.floor((limits.maxImmediateSize ?? 0) / 4),
  };
}
