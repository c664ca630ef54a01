/// <reference types="@webgpu/types" />
/** @file A device with what is shared by all graphs on it: pipelines by their code, layouts, and errors that nobody waited for. */
import { internal, UserError } from '../../errors.ts';
import type { Kernel, Target } from './kernel.ts';
import { megabytes } from './memory.ts';

/** GPUBufferUsage, which Node has no global for. */
export const usage = { mapRead: 1, copySource: 4, copyTarget: 8, storage: 128 } as const;
const COMPUTE = 4;
/** What a pipeline is made of. */
type Compiled = Pick<Kernel, 'name' | 'code' | 'operands' | 'numbers'>;

export class Device {
  readonly gpu: GPUDevice;
  readonly target: Target;
  /** What it is called, for people. */
  readonly name: string;
  #failure: Error | undefined;
  #lost = false;
  #closing = false;
  readonly #collect: (() => Promise<void>) | undefined;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  readonly #layouts = new Map<number, GPUBindGroupLayout>();

  /** @param collect frees what nothing refers to any more, where that can be asked for */
  constructor(gpu: GPUDevice, target: Target, name: string, collect?: () => Promise<void>) {
    this.gpu = gpu;
    this.target = target;
    this.name = name;
    this.#collect = collect;
    const note = (event: Event): void => {
      this.#failure ??= errorOf((event as GPUUncapturedErrorEvent).error, name);
    };
    gpu.addEventListener('uncapturederror', note);
    void gpu.lost.then(({ reason, message }) => {
      this.#lost = true;
      // Dawn holds on to listeners, and this one to the device with all that it compiled.
      gpu.removeEventListener('uncapturederror', note);
      if (!this.#closing)
        this.#failure = new UserError(
          `the graphics device ${name} was lost (${reason}${message && `: ${message}`}). Nothing computed since the last save is left; go on from there with --resume and the run's folder (in a program: run.resume()). If it happens again: another program may fill its memory, or its driver may give up on long work`,
        );
    });
  }

  /** Whether it can compute no more. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Throws what has gone wrong since the last call: an error that nobody waited for would leave old numbers in place of results. */
  check(): void {
    const failure = this.#failure;
    if (!failure) return;
    if (!this.#lost) this.#failure = undefined;
    throw failure;
  }

  /** Compiled once for each code. */
  pipeline(kernel: Compiled): Promise<GPUComputePipeline> {
    const known = this.#pipelines.get(kernel.code);
    if (known) return known;
    const made = this.#compile(kernel);
    this.#pipelines.set(kernel.code, made);
    return made;
  }

  layout(bindings: number): GPUBindGroupLayout {
    const known = this.#layouts.get(bindings);
    if (known) return known;
    const layout = this.gpu.createBindGroupLayout({
      entries: Array.from({ length: bindings }, (_, binding) => ({
        binding,
        visibility: COMPUTE,
        buffer: { type: 'storage' as const },
      })),
    });
    this.#layouts.set(bindings, layout);
    return layout;
  }

  /**
   * Buffers of these sizes. Throws UserError, and leaves none behind, where the device has no room for one.
   *
   * @param whole goes on the message's "no room for 1 MB more" with what the buffers are a part of
   */
  async allocate(sizes: readonly number[], use: number, whole = ''): Promise<GPUBuffer[]> {
    this.check();
    const buffers: GPUBuffer[] = [];
    for (const size of sizes) {
      this.gpu.pushErrorScope('out-of-memory');
      this.gpu.pushErrorScope('validation');
      const buffer = this.gpu.createBuffer({ size: Math.max(4, size), usage: use });
      buffers.push(buffer);
      const refused = await this.gpu.popErrorScope();
      const full = await this.gpu.popErrorScope();
      if (!refused && !full) continue;
      for (const made of buffers) made.destroy();
      throw new UserError(
        `${this.name} has no room for ${megabytes(size)} more${whole} (${(full ?? refused)!.message.split('\n', 1)[0]}). Lower the resolution or the batch, or turn recompute on`,
      );
    }
    return buffers;
  }

  /** Lets go of the device and of what was compiled for it. All that was waited for must have come. */
  async close(): Promise<void> {
    this.#closing = true;
    this.gpu.destroy();
    await this.gpu.lost;
    this.#pipelines.clear();
    this.#layouts.clear();
    await this.#collect?.();
  }

  async #compile({ name, code, operands, numbers }: Compiled): Promise<GPUComputePipeline> {
    const layout = this.gpu.createPipelineLayout({
      bindGroupLayouts: [this.layout(operands.length)],
      ...(numbers && { immediateSize: 4 * numbers.length }),
    });
    const module = this.gpu.createShaderModule({ label: name, code });
    try {
      return await this.gpu.createComputePipelineAsync({
        label: name,
        layout,
        compute: { module, entryPoint: 'main' },
      });
    } catch (error) {
      const { messages } = await module.getCompilationInfo();
      const said = messages.map((m) => `${m.lineNum}:${m.linePos} ${m.message}`).join('; ');
      this.#failure = undefined;
      throw internal(`the kernel ${name} is refused: ${said || String(error)}\n${code}`);
    }
  }
}

function errorOf(error: GPUError, name: string): Error {
  const message = error.message.split('\n').slice(0, 3).join(' ');
  return /out.of.memory/i.test(`${error.constructor.name} ${message}`)
    ? new UserError(
        `not enough memory on ${name} (${message}). Lower the resolution or the batch, or turn recompute on`,
      )
    : internal(`WebGPU: ${message}`);
}
