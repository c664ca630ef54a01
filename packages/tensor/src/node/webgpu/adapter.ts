/// <reference types="@webgpu/types" />
/** @file Finding an adapter through Dawn, and opening a device on it. */
import type * as Dawn from 'webgpu';
import { UserError } from '../../errors.ts';
import { Device } from '../../backends/webgpu/device.ts';
import {
  type AdapterFacts,
  type SubgroupMatrixConfig,
  targetOf,
  wantedFeatures,
} from '../../backends/webgpu/target.ts';
import { collect } from './collect.ts';
import { attempts, prepareEnvironment } from './drivers.ts';

/** `gpu`: a graphics card; `software`: a driver that computes on the processor; `any`: the first of these that is there. */
export type AdapterKind = 'gpu' | 'software' | 'any';

export interface FoundAdapter {
  readonly adapter: GPUAdapter;
  readonly name: string;
  readonly software: boolean;
}

/** Dropping what `create` returns while a device lives ends the process (Dawn), so all of them are kept; by what they were made with, since each takes some megabytes. */
const pinned = new Map<string, GPU>();

const toggles = {
  enable: ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia'],
  /** Without the checks that a correct program does not need. */
  fast: [
    'skip_validation',
    'disable_robustness',
    'disable_workgroup_init',
    'disable_polyfills_on_integer_div_and_mod',
    'vulkan_use_cooperative_matrix_robust_access',
  ],
};

async function instance(fast: boolean, extra: readonly string[] = []): Promise<GPU> {
  let dawn: typeof Dawn;
  try {
    dawn = await import('webgpu');
  } catch (error) {
    throw new UserError(
      `the webgpu backend needs the package webgpu, which could not be loaded (${(error as Error).message.split('\n', 1)[0]}). Install it again, or use another backend`,
    );
  }
  const enabled = [...toggles.enable, ...(fast ? toggles.fast : [])];
  const options = [...extra, `enable-dawn-features=${enabled.join()}`];
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES } = process.env;
  const key = JSON.stringify([options, VK_DRIVER_FILES, VK_ICD_FILENAMES]);
  const gpu = pinned.get(key) ?? dawn.create(options);
  pinned.set(key, gpu);
  return gpu;
}

/** An adapter that computes nothing but checks everything, on any machine. */
export async function nullAdapter(): Promise<GPUAdapter> {
  const gpu = await instance(false, ['backend=null']);
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new UserError('Dawn has no null backend here');
  return adapter;
}

const isSoftware = ({ info }: GPUAdapter): boolean =>
  info.isFallbackAdapter ||
  /llvmpipe|swiftshader|software/i.test(`${info.architecture} ${info.device} ${info.description}`);

/** The first adapter of the kind, in the order graphics card, lavapipe, SwiftShader; undefined where there is none. */
export async function findAdapter(
  kind: AdapterKind,
  fast = false,
): Promise<FoundAdapter | undefined> {
  prepareEnvironment();
  let fallback: FoundAdapter | undefined;
  for (const environment of attempts()) {
    const before = { ...process.env };
    Object.assign(process.env, environment);
    try {
      const gpu = await instance(fast);
      const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
      if (!adapter) continue;
      const { description, device, vendor } = adapter.info;
      const found = {
        adapter,
        name: description || device || vendor || 'a graphics device',
        software: isSoftware(adapter),
      };
      if (!found.software && kind !== 'software') return found;
      if (found.software && kind === 'software') return found;
      if (found.software) fallback ??= found;
    } finally {
      for (const key of Object.keys(environment)) {
        const old = before[key];
        if (old === undefined) delete process.env[key];
        else process.env[key] = old;
      }
    }
  }
  return kind === 'any' ? fallback : undefined;
}

export const factsOf = (adapter: GPUAdapter, software: boolean): AdapterFacts => {
  const { info } = adapter;
  const { subgroupMatrixConfigs } = info as {
    subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>;
  };
  return {
    limits: adapter.limits,
    features: adapter.features,
    subgroups: { min: info.subgroupMinSize ?? 4, max: info.subgroupMaxSize ?? 128 },
    subgroupMatrixConfigs: subgroupMatrixConfigs ? [...subgroupMatrixConfigs] : undefined,
    software,
  };
};

/** A device with everything that kernels may use. */
export async function openDevice({ adapter, name, software }: FoundAdapter): Promise<Device> {
  const { limits } = adapter;
  const gpu = await adapter.requestDevice({
    requiredFeatures: wantedFeatures.filter((feature) =>
      adapter.features.has(feature),
    ) as GPUFeatureName[],
    requiredLimits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
      minStorageBufferOffsetAlignment: limits.minStorageBufferOffsetAlignment,
      maxImmediateSize: limits.maxImmediateSize,
    },
  });
  return new Device(gpu, targetOf(factsOf(adapter, software)), name, collect);
}
