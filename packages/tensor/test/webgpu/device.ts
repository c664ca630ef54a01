/** @file A device for tests of kernels, and plans run on it. */
/// <reference lib="esnext.float16" />
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { create, globals } from 'webgpu';
import type { Kernel, Plan, Slot, Storage, Target } from '../../src/backends/webgpu/kernel.ts';
import { targetOf, wantedFeatures } from '../../src/backends/webgpu/target.ts';
import { factsOf, findAdapter } from '../../src/node/webgpu/adapter.ts';
import { swiftshaderFolder } from '../../src/node/webgpu/drivers.ts';

Object.assign(globalThis, globals);

/** Dawn's objects may not be collected while a device lives. */
const instances: GPU[] = [];

export interface Device {
  readonly gpu: GPUDevice;
  /** Of the adapter. */
  readonly name: string;
  readonly target: Target;
}

/** Opens a device on an adapter; all that it has is asked for. */
async function open(adapter: GPUAdapter, software: boolean): Promise<Device> {
  const { limits, info } = adapter;
  const gpu = await adapter.requestDevice({
    requiredFeatures: [...wantedFeatures, 'timestamp-query'].filter((f) =>
      adapter.features.has(f),
    ) as GPUFeatureName[],
    requiredLimits: {
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxBufferSize: limits.maxBufferSize,
      minStorageBufferOffsetAlignment: limits.minStorageBufferOffsetAlignment,
      maxImmediateSize: limits.maxImmediateSize,
    },
  });
  return {
    gpu,
    name: [info.vendor, info.architecture, info.device, info.description].join(' '),
    target: targetOf(factsOf(adapter, software)),
  };
}

/** A device that computes: a graphics card, or a driver that computes on the processor. SwiftShader compiles in a twentieth of lavapipe's time, but has no f16. */
export async function openDevice({ f16 = false } = {}): Promise<Device> {
  const card = await findAdapter('gpu');
  if (card) return open(card.adapter, false);
  const swiftshader = join(swiftshaderFolder(), 'vk_swiftshader_icd.json');
  const before = process.env['VK_DRIVER_FILES'];
  if (!f16 && before === undefined && existsSync(swiftshader))
    process.env['VK_DRIVER_FILES'] = swiftshader;
  const found = await findAdapter('software');
  if (before === undefined) delete process.env['VK_DRIVER_FILES'];
  if (!found) throw new Error('no WebGPU adapter is here');
  return open(found.adapter, true);
}

/** Calls `use` with a device that knows f16; a machine that has none skips the test. */
export async function onF16(
  skip: (condition: boolean, why: string) => void,
  use: (device: Device) => Promise<void>,
): Promise<void> {
  const device = await openDevice({ f16: true });
  try {
    skip(!device.target.f16, `${device.name} has no f16`);
    await use(device);
  } finally {
    await closeDevice(device);
  }
}

/** A device of Dawn's own options: `backend=null` checks everything and computes nothing. */
export async function openWith(options: readonly string[]): Promise<Device> {
  const instance = create([
    'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia',
    ...options,
  ]);
  instances.push(instance);
  const adapter = await instance.requestAdapter();
  if (!adapter) throw new Error(`Dawn finds no adapter with ${options.join(' ')}`);
  const { info } = adapter;
  return open(adapter, /llvmpipe|swiftshader/i.test(`${info.device} ${info.description}`));
}

/** Ends a device; nothing may be pending on it. */
export async function closeDevice({ gpu }: Device): Promise<void> {
  const lost = gpu.lost;
  gpu.destroy();
  await lost;
}

/** Numbers and how they are kept in a buffer. */
export interface Values {
  readonly storage: Storage;
  readonly data: Float64Array;
}

const kinds = {
  ...{ f32: Float32Array, f16: Float16Array, i32: Int32Array, u32: Uint32Array, u8: Uint8Array },
};
export const bytesOf = (storage: Storage): number => kinds[storage].BYTES_PER_ELEMENT;

/** Numbers as the bytes of a buffer, and back. */
function encode({ storage, data }: Values): Uint8Array<ArrayBuffer> {
  const typed = kinds[storage].from(data);
  const bytes = new Uint8Array(Math.max(16, Math.ceil(typed.byteLength / 4) * 4));
  bytes.set(new Uint8Array(typed.buffer));
  return bytes;
}
function decode(storage: Storage, bytes: ArrayBuffer, size: number): Float64Array {
  return Float64Array.from(new kinds[storage](bytes, 0, size));
}

/** Numbers rounded to what a storage can hold. */
export const rounded = (storage: Storage, data: Float64Array): Float64Array =>
  storage === 'f16'
    ? Float64Array.from(Float16Array.from(data))
    : storage === 'f32'
      ? Float64Array.from(Float32Array.from(data))
      : data;

/** A kernel as a pipeline; throws what Dawn says against it. */
export async function pipelineOf(gpu: GPUDevice, kernel: Kernel): Promise<GPUComputePipeline> {
  gpu.pushErrorScope('validation');
  const layout = gpu.createBindGroupLayout({
    entries: kernel.operands.map((_, binding) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: 'storage' as const },
    })),
  });
  const pipeline = gpu.createComputePipeline({
    label: kernel.name,
    layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module: gpu.createShaderModule({ code: kernel.code }), entryPoint: 'main' },
  });
  const error = await gpu.popErrorScope();
  if (error)
    throw new Error(
      `${kernel.name}: ${error.message}\n${kernel.code
        .split('\n')
        .map((line, i) => `${i + 1}: ${line}`)
        .join('\n')}`,
    );
  return pipeline;
}

/** Runs a plan on given inputs; the results by output. Memory starts as NaN, so that what a plan leaves out shows. */
export async function runPlan(
  { gpu }: Device,
  plan: Plan,
  inputs: readonly Values[],
  outputs: readonly { storage: Storage; size: number }[],
): Promise<Float64Array[]> {
  const buffers: GPUBuffer[] = [];
  const filled = (bytes: Uint8Array<ArrayBuffer>) => {
    const buffer = gpu.createBuffer({
      size: Math.ceil(bytes.byteLength / 16) * 16,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    });
    buffers.push(buffer);
    gpu.queue.writeBuffer(buffer, 0, bytes);
    return buffer;
  };
  const garbage = (bytes: number) =>
    filled(new Uint8Array(Math.ceil(Math.max(bytes, 16) / 16) * 16).fill(0xff));
  const memory = {
    input: inputs.map((input) => filled(encode(input))),
    output: outputs.map(({ storage, size }) => garbage(size * bytesOf(storage))),
    scratch: plan.scratch.map(garbage),
  };
  const bufferOf = ({ kind, index }: Slot) => memory[kind][index]!;
  const pipelines: GPUComputePipeline[] = [];
  for (const { kernel } of plan.steps) pipelines.push(await pipelineOf(gpu, kernel));
  gpu.pushErrorScope('validation');
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  plan.steps.forEach(({ kernel, slots }, i) => {
    const pipeline = pipelines[i]!;
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      gpu.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: slots.map((slot, binding) => ({ binding, resource: { buffer: bufferOf(slot) } })),
      }),
    );
    pass.dispatchWorkgroups(...kernel.workgroups);
  });
  pass.end();
  const staging = memory.output.map((source) => {
    const copy = gpu.createBuffer({
      size: source.size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    encoder.copyBufferToBuffer(source, 0, copy, 0, source.size);
    buffers.push(copy);
    return copy;
  });
  gpu.queue.submit([encoder.finish()]);
  const error = await gpu.popErrorScope();
  if (error)
    throw new Error(`${plan.steps.map((s) => s.kernel.name).join(', ')}: ${error.message}`);
  const results: Float64Array[] = [];
  for (const [i, copy] of staging.entries()) {
    await copy.mapAsync(GPUMapMode.READ);
    const { storage, size } = outputs[i]!;
    results.push(decode(storage, copy.getMappedRange().slice(0), size));
    copy.unmap();
  }
  for (const buffer of buffers) buffer.destroy();
  return results;
}
