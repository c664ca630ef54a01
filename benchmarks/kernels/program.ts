/// <reference types="@webgpu/types" />
/** @file Runs a program dispatch by dispatch, with the seconds that each takes. */
import type { Layout } from '../../packages/tensor/src/backends/webgpu/memory.ts';
import { type Program, tensorBytes } from '../../packages/tensor/src/backends/webgpu/program.ts';
import type { Device } from '../../packages/tensor/test/webgpu/device.ts';
import { patiently } from '../../packages/tensor/src/node/webgpu/throttle.ts';

/** Dispatches in one submission. */
const AT_A_TIME = 64;
/** Bytes of random numbers, which weights, states and inputs repeat. */
const NOISE = 2 ** 22;

export class ProgramRun {
  private readonly device: Device;
  private readonly program: Program;
  private readonly layout: Layout;
  private readonly arenas: readonly GPUBuffer[];
  private pipelines: readonly GPUComputePipeline[] = [];

  constructor(device: Device, program: Program, layout: Layout) {
    [this.device, this.program, this.layout] = [device, program, layout];
    this.arenas = layout.arenas.map(({ bytes }) =>
      device.gpu.createBuffer({
        size: Math.max(bytes, 4),
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
      }),
    );
  }

  /** Makes the pipelines; the seconds that Dawn takes for all of them. What a driver leaves for the first dispatch is not among them. */
  async compile(): Promise<number> {
    const { gpu } = this.device;
    const began = performance.now();
    const made = new Map<string, Promise<GPUComputePipeline>>();
    const layouts = new Map<string, GPUPipelineLayout>();
    for (const { kernel, operands } of this.program.steps) {
      if (made.has(kernel.code)) continue;
      const immediateSize = 4 * (kernel.numbers?.length ?? 0);
      const key = `${operands.length} ${immediateSize}`;
      const layout =
        layouts.get(key) ??
        gpu.createPipelineLayout({
          immediateSize,
          bindGroupLayouts: [
            gpu.createBindGroupLayout({
              entries: operands.map((_, binding) => ({
                binding,
                visibility: GPUShaderStage.COMPUTE,
                buffer: { type: 'storage' as const },
              })),
            }),
          ],
        });
      layouts.set(key, layout);
      const module = gpu.createShaderModule({ code: kernel.code });
      made.set(
        kernel.code,
        gpu.createComputePipelineAsync({
          label: kernel.name,
          layout,
          compute: { module, entryPoint: 'main' },
        }),
      );
    }
    this.pipelines = await patiently(
      Promise.all(this.program.steps.map(({ kernel }) => made.get(kernel.code)!)),
    );
    return (performance.now() - began) / 1000;
  }

  /** Gives every weight, state and input of f32 small random numbers; all else is zero. */
  async fill(): Promise<void> {
    const { gpu } = this.device;
    const noise = gpu.createBuffer({
      size: NOISE,
      usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
    let seed = 1;
    const numbers = Float32Array.from({ length: NOISE / 4 }, () => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return (seed / 0x7fffffff - 0.5) / 16;
    });
    gpu.queue.writeBuffer(noise, 0, numbers);
    const encoder = gpu.createCommandEncoder();
    for (const [id, tensor] of this.program.tensors.entries()) {
      const region = this.layout.regions[id];
      const given = ['weight', 'state', 'input'].includes(tensor.origin.kind);
      if (!region || !given || tensor.storage !== 'f32') continue;
      const bytes = tensorBytes(tensor);
      for (let done = 0; done < bytes; done += NOISE)
        encoder.copyBufferToBuffer(
          ...([noise, 0, this.arenas[region.arena]!, region.offset + done] as const),
          Math.min(NOISE, bytes - done),
        );
    }
    gpu.queue.submit([encoder.finish()]);
    await patiently(gpu.queue.onSubmittedWorkDone());
    noise.destroy();
  }

  /** Runs all dispatches in order; the seconds of each, by the device's clock where it has one. `slow` is told of those over a second as soon as they are known. */
  async run(slow: (name: string, seconds: number) => void): Promise<number[]> {
    const { steps } = this.program;
    const clock = this.device.gpu.features.has('timestamp-query');
    const seconds: number[] = [];
    for (let first = 0; first < steps.length; first += clock ? AT_A_TIME : 1) {
      const count = Math.min(clock ? AT_A_TIME : 1, steps.length - first);
      const took = clock ? await this.timed(first, count) : [await this.waited(first)];
      took.forEach((one, i) => {
        if (one > 1) slow(steps[first + i]!.kernel.name, one);
      });
      seconds.push(...took);
    }
    return seconds;
  }

  private encode(
    encoder: GPUCommandEncoder,
    at: number,
    timestampWrites?: GPUComputePassTimestampWrites,
  ): void {
    const { kernel, operands } = this.program.steps[at]!;
    const pipeline = this.pipelines[at]!;
    const pass = encoder.beginComputePass(timestampWrites ? { timestampWrites } : {});
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      this.device.gpu.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: operands.map(({ tensor, from, bytes }, binding) => {
          const { arena, offset } = this.layout.regions[tensor]!;
          return {
            binding,
            resource: { buffer: this.arenas[arena]!, offset: offset + from, size: bytes },
          };
        }),
      }),
    );
    if (kernel.numbers) pass.setImmediates(0, Uint32Array.from(kernel.numbers));
    pass.dispatchWorkgroups(...kernel.workgroups);
    pass.end();
  }

  private async timed(first: number, count: number): Promise<number[]> {
    const { gpu } = this.device;
    const querySet = gpu.createQuerySet({ type: 'timestamp', count: 2 * count });
    const resolved = gpu.createBuffer({
      size: 16 * count,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
    const copy = gpu.createBuffer({
      size: 16 * count,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const encoder = gpu.createCommandEncoder();
    for (let i = 0; i < count; i++)
      this.encode(encoder, first + i, {
        querySet,
        beginningOfPassWriteIndex: 2 * i,
        endOfPassWriteIndex: 2 * i + 1,
      });
    encoder.resolveQuerySet(querySet, 0, 2 * count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, copy, 0, 16 * count);
    gpu.queue.submit([encoder.finish()]);
    await patiently(copy.mapAsync(GPUMapMode.READ));
    const times = new BigUint64Array(copy.getMappedRange().slice(0));
    for (const one of [querySet, resolved, copy]) one.destroy();
    return Array.from({ length: count }, (_, i) => Number(times[2 * i + 1]! - times[2 * i]!) / 1e9);
  }

  private async waited(at: number): Promise<number> {
    const { gpu } = this.device;
    const encoder = gpu.createCommandEncoder();
    this.encode(encoder, at);
    const began = performance.now();
    gpu.queue.submit([encoder.finish()]);
    await patiently(gpu.queue.onSubmittedWorkDone());
    return (performance.now() - began) / 1000;
  }
}
