/** @file Runs plans on a device: against the plain form, and against the clock. */
import type {
  Kernel,
  Plan,
  Slot,
  Storage,
} from '../../packages/tensor/src/backends/webgpu/kernel.ts';
import type { Device } from '../../packages/tensor/test/webgpu/device.ts';
import type { Job } from './jobs.ts';

interface Memory {
  readonly buffer: GPUBuffer;
  readonly bytes: number;
}
export interface Variant {
  readonly form: string;
  readonly picked: boolean;
  readonly plan?: Plan;
  readonly pipelines?: readonly GPUComputePipeline[];
  readonly failure?: string;
}

/** Milliseconds of a run that is not worth another. */
const SLOW = 1000;
const bytesOf = (storage: Storage): number => (storage === 'f16' ? 2 : 4);
const padded = (bytes: number): number => Math.ceil(Math.max(bytes, 16) / 16) * 16;

export class Bench {
  private readonly gpu: GPUDevice;
  private readonly memory = new Map<string, Memory>();
  private readonly pipelines = new Map<string, Promise<GPUComputePipeline>>();
  private readonly software: boolean;

  constructor({ gpu, target }: Device) {
    this.gpu = gpu;
    this.software = target.kind === 'software';
  }

  /** A buffer of at least so many bytes that is used by one name at a time. */
  private buffer(name: string, bytes: number, fill?: (bytes: number) => ArrayBuffer): GPUBuffer {
    const size = padded(bytes);
    const present = this.memory.get(name);
    if (present && present.bytes >= size) return present.buffer;
    present?.buffer.destroy();
    const buffer = this.gpu.createBuffer({
      size,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    });
    if (fill) this.gpu.queue.writeBuffer(buffer, 0, fill(size));
    this.memory.set(name, { buffer, bytes: size });
    return buffer;
  }

  private bindings(job: Job, plan: Plan, outputs: string) {
    const of = ({ kind, index }: Slot): { buffer: GPUBuffer; size: number } => {
      if (kind === 'scratch')
        return {
          buffer: this.buffer(`scratch${index}`, plan.scratch[index]!),
          size: padded(plan.scratch[index]!),
        };
      const { storage, size } = (kind === 'input' ? job.inputs : job.outputs)[index]!;
      const bytes = size * bytesOf(storage);
      return {
        buffer:
          kind === 'input'
            ? this.buffer(`${storage} ${index}`, bytes, (n) => randoms(n, storage, index))
            : this.buffer(`${outputs}${index}`, bytes),
        size: padded(bytes),
      };
    };
    // All buffers first: one that grows is another buffer.
    for (const { slots } of plan.steps) slots.forEach(of);
    return of;
  }

  private pipeline(kernel: Kernel): Promise<GPUComputePipeline> {
    const present = this.pipelines.get(kernel.code);
    if (present) return present;
    const layout = this.gpu.createBindGroupLayout({
      entries: kernel.operands.map((_, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: 'storage' as const },
      })),
    });
    const made = this.gpu.createComputePipelineAsync({
      label: kernel.name,
      layout: this.gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: this.gpu.createShaderModule({ code: kernel.code }), entryPoint: 'main' },
    });
    this.pipelines.set(kernel.code, made);
    return made;
  }

  private encode(
    pass: GPUComputePassEncoder,
    { steps }: Plan,
    pipelines: readonly GPUComputePipeline[],
    of: (slot: Slot) => { buffer: GPUBuffer; size: number },
  ): () => void {
    const groups = steps.map(({ slots }, i) =>
      this.gpu.createBindGroup({
        layout: pipelines[i]!.getBindGroupLayout(0),
        entries: slots.map((slot, binding) => ({ binding, resource: of(slot) })),
      }),
    );
    return () =>
      steps.forEach(({ kernel }, i) => {
        pass.setPipeline(pipelines[i]!);
        pass.setBindGroup(0, groups[i]!);
        pass.dispatchWorkgroups(...kernel.workgroups);
      });
  }

  private async done(): Promise<void> {
    if (!this.software) return this.gpu.queue.onSubmittedWorkDone();
    // Dawn asks again and again whether it is done; on a device that computes on this processor that takes half of it.
    const immediate = globalThis.setImmediate;
    globalThis.setImmediate = ((f: () => void) =>
      setTimeout(f, 1)) as unknown as typeof setImmediate;
    await this.gpu.queue.onSubmittedWorkDone();
    globalThis.setImmediate = immediate;
  }

  private async run(
    job: Job,
    plan: Plan,
    pipelines: readonly GPUComputePipeline[],
    outputs: string,
  ) {
    const of = this.bindings(job, plan, outputs);
    const encoder = this.gpu.createCommandEncoder();
    for (const i of job.outputs.keys())
      encoder.clearBuffer(of({ kind: 'output', index: i }).buffer);
    const pass = encoder.beginComputePass();
    this.encode(pass, plan, pipelines, of)();
    pass.end();
    this.gpu.queue.submit([encoder.finish()]);
    await this.done();
  }

  private async guarded<T>(work: () => Promise<T>): Promise<T> {
    for (const filter of ['validation', 'out-of-memory', 'internal'] as const)
      this.gpu.pushErrorScope(filter);
    let result: T | undefined;
    let failure: unknown;
    try {
      result = await work();
    } catch (problem) {
      failure = problem;
    }
    for (let i = 0; i < 3; i++) failure ??= (await this.gpu.popErrorScope())?.message;
    if (failure !== undefined)
      throw failure instanceof Error ? failure : new Error(String(failure));
    return result as T;
  }

  /** The plain form's results, kept on the device. */
  async reference(job: Job): Promise<readonly string[]> {
    await this.guarded(async () => {
      const plan = job.plain();
      const pipelines = await Promise.all(plan.steps.map(({ kernel }) => this.pipeline(kernel)));
      await this.run(job, plan, pipelines, 'plain');
    });
    return job.outputs.map((_, i) => `plain${i}`);
  }

  /** All variants of a job, compiled side by side. */
  compile(job: Job): Promise<Variant[]> {
    return Promise.all(
      job.variants.map(async ({ form, picked, plan: make }): Promise<Variant> => {
        try {
          const plan = make();
          const pipelines = await Promise.all(
            plan.steps.map(({ kernel }) => this.pipeline(kernel)),
          );
          return { form, picked, plan, pipelines };
        } catch (problem) {
          return { form, picked, failure: String(problem).slice(0, 600) };
        }
      }),
    );
  }

  /** ||result - plain|| / ||plain||, the worst of a job's outputs. */
  async check(
    job: Job,
    plan: Plan,
    pipelines: readonly GPUComputePipeline[],
    plain: readonly string[],
  ): Promise<number> {
    return this.guarded(async () => {
      await this.run(job, plan, pipelines, 'result');
      let worst = 0;
      for (const [i, { storage, size }] of job.outputs.entries())
        worst = Math.max(worst, await this.distance(storage, size, `result${i}`, plain[i]!));
      return worst;
    });
  }

  private async distance(storage: Storage, size: number, ours: string, plain: string) {
    const groups = 256;
    const code = `${storage === 'f16' ? 'enable f16;' : ''}
@group(0) @binding(0) var<storage, read_write> a: array<${storage}>;
@group(0) @binding(1) var<storage, read_write> b: array<${storage}>;
@group(0) @binding(2) var<storage, read_write> sums: array<vec2f>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
var sum = vec2f(0);
for (var i = id.x; i < ${size}u; i += ${groups * 64}u) { let y = f32(b[i]); let d = f32(a[i]) - y; sum += vec2f(d * d, y * y); }
sums[id.x] = sum;
}`;
    const kernel: Kernel = {
      name: 'distance',
      code,
      operands: [storage, storage, 'f32' as const].map((s) => ({ storage: s, access: 'read' })),
      workgroups: [groups, 1, 1],
      flops: 0,
      bytes: 0,
    };
    const pipeline = await this.pipeline(kernel);
    const bytes = groups * 64 * 8;
    const sums = this.buffer('sums', bytes);
    const view = padded(size * bytesOf(storage));
    const encoder = this.gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(
      0,
      this.gpu.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [
          { buffer: this.memory.get(ours)!.buffer, size: view },
          { buffer: this.memory.get(plain)!.buffer, size: view },
          { buffer: sums, size: bytes },
        ].map((resource, binding) => ({ binding, resource })),
      }),
    );
    pass.dispatchWorkgroups(groups);
    pass.end();
    const copied = await this.read(encoder, sums, bytes);
    const parts = new Float32Array(copied);
    let [difference, norm] = [0, 0];
    for (let i = 0; i < parts.length; i += 2) {
      difference += parts[i]!;
      norm += parts[i + 1]!;
    }
    return Math.sqrt(difference / (norm || 1));
  }

  /** Milliseconds of one run, the least of three passes; of ten on a processor, whose cores others use too. */
  async time(job: Job, plan: Plan, pipelines: readonly GPUComputePipeline[]): Promise<number> {
    return this.guarded(async () => {
      const of = this.bindings(job, plan, 'result');
      const querySet = this.gpu.createQuerySet({ type: 'timestamp', count: 2 });
      const resolved = this.gpu.createBuffer({
        size: 16,
        usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
      });
      const pass = async (count: number): Promise<number> => {
        const encoder = this.gpu.createCommandEncoder();
        const compute = encoder.beginComputePass({
          timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
        });
        const dispatch = this.encode(compute, plan, pipelines, of);
        for (let i = 0; i < count; i++) dispatch();
        compute.end();
        encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
        const [begin, end] = new BigUint64Array(
          await this.read(encoder, resolved, 16),
        ) as unknown as [bigint, bigint];
        return Number(end - begin) / 1e6 / count;
      };
      const once = await pass(1);
      if (once > SLOW) return once;
      const wanted = this.software ? 50 : 12;
      const count = Math.max(1, Math.min(200, Math.round(wanted / Math.max(once, 1e-3))));
      let best = Infinity;
      for (let i = 0; i < (this.software ? 10 : 3); i++) best = Math.min(best, await pass(count));
      querySet.destroy();
      resolved.destroy();
      return best;
    });
  }

  private async read(
    encoder: GPUCommandEncoder,
    source: GPUBuffer,
    bytes: number,
  ): Promise<ArrayBuffer> {
    const copy = this.gpu.createBuffer({
      size: bytes,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    encoder.copyBufferToBuffer(source, 0, copy, 0, bytes);
    this.gpu.queue.submit([encoder.finish()]);
    await this.done();
    await copy.mapAsync(GPUMapMode.READ);
    const result = copy.getMappedRange().slice(0);
    copy.destroy();
    return result;
  }
}

/** Numbers from a seed: f32 between -1 and 1, f16 between 1/2 and 1 with either sign. */
function randoms(bytes: number, storage: Storage, seed: number): ArrayBuffer {
  let state = (seed + 1) * 2654435761;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
  if (storage === 'f16')
    return Uint16Array.from({ length: bytes / 2 }, () => {
      const bits = next() >>> 12;
      return 0x3800 | (bits & 0x3ff) | ((bits & 0x400) << 5);
    }).buffer;
  return Float32Array.from({ length: bytes / 4 }, () => next() / 2 ** 31 - 1).buffer;
}
