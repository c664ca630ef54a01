/** @file A compiled graph on a device: everything is made once, and each run records the same dispatches again. */
import type { Executable, HostArray, HostData, MemoryPlan } from '../../backend.ts';
import { failureIn, UserError } from '../../errors.ts';
import type { TensorType } from '../../graph/types.ts';
import { hostArray, hostDataOf } from '../../host/array.ts';
import { checkRowNumbers, type rowNumbersOf } from '../../host/rowNumbers.ts';
import { type Signature, takeInputs, takeState, typeOfState } from '../../host/signature.ts';
import { type Device, usage } from './device.ts';
import type { Region } from './memory.ts';
import { type Program, type ProgramTensor, type TensorId, tensorBytes } from './program.ts';

export interface ExecutableParts {
  readonly device: Device;
  readonly program: Program;
  readonly regions: readonly Region[];
  readonly arenas: readonly GPUBuffer[];
  readonly pipelines: readonly GPUComputePipeline[];
  readonly signature: Signature;
  readonly rowNumbers: ReturnType<typeof rowNumbersOf>;
  readonly memory: MemoryPlan;
  /** Called once, when everything has been let go of. */
  readonly released: () => void;
}

interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly numbers: Uint32Array<ArrayBuffer> | undefined;
  readonly workgroups: readonly [number, number, number];
}
/** A result on its way to the host: where it lies among what is read back. */
interface Returned {
  readonly name: string;
  readonly tensor: TensorId;
  readonly type: TensorType;
  readonly offset: number;
}

/** States are read back in pieces of this many bytes. */
const PIECE = 64 * 2 ** 20;
/** Bytes that may be written before the device is waited for. */
const MOST_WRITTEN = 256 * 2 ** 20;
/** Runs that may wait to be read back before the next is submitted. */
const MOST_IN_FLIGHT = 3;
/** Dispatches in one submission: encoding so many takes about a millisecond. */
const AT_A_TIME = 256;

/** Bytes of a tensor for the device. */
function toDevice(data: HostData, { dtype }: TensorType, tensor: ProgramTensor): Uint8Array {
  if (tensor.storage === 'u8') {
    const codes = new Uint8Array(tensorBytes(tensor));
    codes.set(data);
    return codes;
  }
  const words = dtype === 'bool' || dtype === 'u8' ? Uint32Array.from(data) : data;
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}
function fromDevice(words: ArrayBuffer, type: TensorType, { storage }: ProgramTensor): HostData {
  const data = hostDataOf(type);
  if (storage === 'u8') data.set(new Uint8Array(words, 0, data.length));
  else if (type.dtype === 'f32') data.set(new Float32Array(words, 0, data.length));
  else if (type.dtype === 'i32') data.set(new Int32Array(words, 0, data.length));
  else data.set(new Uint32Array(words, 0, data.length));
  return data;
}

/** Calls wait for each other in the order in which they were made. After `dispose`, every other call throws UserError. */
export class WebgpuExecutable implements Executable {
  readonly memory: MemoryPlan;
  readonly #parts: ExecutableParts;
  readonly #dispatches: readonly Dispatch[];
  readonly #inputs = new Map<string, TensorId>();
  readonly #states = new Map<string, TensorId>();
  readonly #returned: readonly Returned[];
  readonly #returnedBytes: number;
  readonly #faults: TensorId | undefined;
  /** Buffers that results are read from, free and all. */
  readonly #free: GPUBuffer[] = [];
  readonly #staging: GPUBuffer[] = [];
  #written = 0;
  /** Called when one becomes free. */
  #freed: (() => void) | undefined;
  #reading: Promise<unknown> = Promise.resolve();
  #submitting: Promise<unknown> = Promise.resolve();
  #disposed: Promise<void> | undefined;

  constructor(parts: ExecutableParts) {
    const { program, pipelines, device } = parts;
    this.#parts = parts;
    this.memory = parts.memory;
    program.tensors.forEach(({ origin }, id) => {
      if (origin.kind === 'input') this.#inputs.set(origin.name, id);
      if (origin.kind === 'state') this.#states.set(origin.name, id);
    });
    const faults = program.tensors.findIndex(({ origin }) => origin.kind === 'faults');
    this.#faults = faults < 0 ? undefined : faults;
    this.#dispatches = program.steps.map(({ kernel, operands }, i) => ({
      pipeline: pipelines[i]!,
      workgroups: kernel.workgroups,
      numbers: kernel.numbers && Uint32Array.from(kernel.numbers),
      group: device.gpu.createBindGroup({
        layout: device.layout(operands.length),
        entries: operands.map(({ tensor, from, bytes }, binding) => {
          const { arena, offset } = parts.regions[tensor]!;
          return {
            binding,
            resource: { buffer: parts.arenas[arena]!, offset: offset + from, size: bytes },
          };
        }),
      }),
    }));
    let offset = 0;
    const returned: Returned[] = [];
    for (const [name, { tensor, type }] of program.outputs) {
      returned.push({ name, tensor, type, offset });
      offset += Math.ceil(tensorBytes(program.tensors[tensor]!) / 8) * 8;
    }
    this.#returned = returned;
    this.#returnedBytes = offset;
  }

  async run(inputs: Readonly<Record<string, HostArray>> = {}): Promise<Record<string, HostArray>> {
    this.#alive();
    const { signature, rowNumbers, device } = this.#parts;
    const given = takeInputs(signature, inputs);
    checkRowNumbers(rowNumbers, given);
    const submitted = this.#inTurn(async () => {
      const staging = await this.#takeStaging();
      device.check();
      for (const [name, data] of given) {
        const tensor = this.#inputs.get(name);
        if (tensor !== undefined) this.#put(tensor, data, signature.inputs.get(name)!);
      }
      this.#submit(staging);
      // A promise in an object: whoever awaits the submission does not wait for the results.
      return { staging, mapped: staging.mapAsync(1, 0, this.#stagingBytes) };
    });
    // Results come in the order of the calls.
    const result = this.#reading.then(async () => {
      const { staging, mapped } = await submitted;
      return this.#take(staging, mapped);
    });
    this.#reading = result.catch(() => undefined);
    return result;
  }

  async read(state: string): Promise<HostArray> {
    this.#alive();
    const { signature, device } = this.#parts;
    const type = typeOfState(signature, state);
    const tensor = this.#states.get(state)!;
    return this.#inTurn(async () => {
      device.check();
      const described = this.#parts.program.tensors[tensor]!;
      const words = await this.#readBack(tensor, described);
      device.check();
      return hostArray(fromDevice(words, type, described), type.shape) as HostArray;
    });
  }

  async write(state: string, value: HostArray): Promise<void> {
    this.#alive();
    const { signature, device } = this.#parts;
    const data = takeState(signature, state, value);
    return this.#inTurn(async () => {
      device.check();
      this.#put(this.#states.get(state)!, data, typeOfState(signature, state));
      this.#written += data.byteLength;
      // What is written waits in host memory for the device.
      if (this.#written < MOST_WRITTEN) return;
      this.#written = 0;
      await device.gpu.queue.onSubmittedWorkDone();
    });
  }

  /** What lies on the device can only be copied. */
  view(state: string): Promise<HostArray> {
    return this.read(state);
  }

  borrow(state: string, value: HostArray): Promise<void> {
    return this.write(state, value);
  }

  dispose(): Promise<void> {
    this.#disposed ??= this.#inTurn(async () => {
      await this.#reading;
      for (const buffer of [...this.#parts.arenas, ...this.#staging]) buffer.destroy();
      this.#parts.released();
    });
    return this.#disposed;
  }

  #alive(): void {
    if (this.#disposed) throw new UserError('this graph was disposed of; compile it again');
  }

  #inTurn<T>(call: () => Promise<T>): Promise<T> {
    const result = this.#submitting.then(call);
    this.#submitting = result.catch(() => undefined);
    return result;
  }

  #put(tensor: TensorId, data: HostData, type: TensorType): void {
    const { arena, offset } = this.#parts.regions[tensor]!;
    const bytes = toDevice(data, type, this.#parts.program.tensors[tensor]!);
    this.#parts.device.gpu.queue.writeBuffer(
      this.#parts.arenas[arena]!,
      offset,
      bytes as Uint8Array<ArrayBuffer>,
    );
  }

  get #stagingBytes(): number {
    const { program } = this.#parts;
    const faults = this.#faults === undefined ? 0 : tensorBytes(program.tensors[this.#faults]!);
    return Math.max(8, this.#returnedBytes + faults);
  }

  async #takeStaging(): Promise<GPUBuffer> {
    while (this.#free.length === 0 && this.#staging.length >= MOST_IN_FLIGHT)
      await new Promise<void>((resolve) => {
        this.#freed = resolve;
      });
    const free = this.#free.pop();
    if (free) return free;
    const [buffer] = await this.#parts.device.allocate(
      [this.#stagingBytes],
      usage.mapRead | usage.copyTarget,
    );
    this.#staging.push(buffer!);
    return buffer!;
  }

  #submit(staging: GPUBuffer): void {
    const { device, program, regions, arenas } = this.#parts;
    const { queue } = device.gpu;
    let encoder = device.gpu.createCommandEncoder();
    const copy = (tensor: TensorId, target: GPUBuffer, at: number): void => {
      const { arena, offset } = regions[tensor]!;
      encoder.copyBufferToBuffer(
        arenas[arena]!,
        offset,
        target,
        at,
        tensorBytes(program.tensors[tensor]!),
      );
    };
    if (this.#faults !== undefined) {
      const { arena, offset } = regions[this.#faults]!;
      encoder.clearBuffer(arenas[arena]!, offset, tensorBytes(program.tensors[this.#faults]!));
    }
    let pass = encoder.beginComputePass();
    this.#dispatches.forEach(({ pipeline, group, numbers, workgroups }, i) => {
      // The device begins while the rest is still being encoded.
      if (i > 0 && i % AT_A_TIME === 0) {
        pass.end();
        queue.submit([encoder.finish()]);
        encoder = device.gpu.createCommandEncoder();
        pass = encoder.beginComputePass();
      }
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      if (numbers) pass.setImmediates(0, numbers);
      pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
    });
    pass.end();
    for (const { from, to } of program.copies)
      copy(from, arenas[regions[to]!.arena]!, regions[to]!.offset);
    for (const { tensor, offset } of this.#returned) copy(tensor, staging, offset);
    if (this.#faults !== undefined) copy(this.#faults, staging, this.#returnedBytes);
    queue.submit([encoder.finish()]);
  }

  async #take(staging: GPUBuffer, mapped: Promise<undefined>): Promise<Record<string, HostArray>> {
    const { device, program } = this.#parts;
    try {
      await mapped;
    } catch (error) {
      device.check();
      throw error;
    }
    try {
      device.check();
      const words = (offset: number, bytes: number): ArrayBuffer =>
        staging.getMappedRange(offset, bytes);
      if (this.#faults !== undefined) {
        const bytes = tensorBytes(program.tensors[this.#faults]!);
        const all = new Int32Array(staging.getMappedRange(this.#returnedBytes, bytes));
        program.checks.forEach(({ op, path, rows }, slot) => {
          if (all[2 * slot] !== 0)
            throw failureIn(
              op,
              path,
            )(`index ${all[2 * slot + 1]} is not among the ${rows} rows of the table`);
        });
      }
      return Object.fromEntries(
        this.#returned.map(({ name, tensor, type, offset }) => {
          const described = program.tensors[tensor]!;
          const data = fromDevice(words(offset, tensorBytes(described)), type, described);
          return [name, hostArray(data, type.shape) as HostArray];
        }),
      );
    } finally {
      staging.unmap();
      this.#free.push(staging);
      this.#freed?.();
    }
  }

  async #readBack(tensor: TensorId, described: ProgramTensor): Promise<ArrayBuffer> {
    const { device, regions, arenas } = this.#parts;
    const bytes = tensorBytes(described);
    const { arena, offset } = regions[tensor]!;
    const all = new Uint8Array(bytes);
    const [piece] = await device.allocate(
      [Math.min(PIECE, bytes)],
      usage.mapRead | usage.copyTarget,
    );
    try {
      for (let done = 0; done < bytes; done += PIECE) {
        const length = Math.min(PIECE, bytes - done);
        const encoder = device.gpu.createCommandEncoder();
        encoder.copyBufferToBuffer(arenas[arena]!, offset + done, piece!, 0, length);
        device.gpu.queue.submit([encoder.finish()]);
        await piece!.mapAsync(1, 0, length);
        all.set(new Uint8Array(piece!.getMappedRange(0, length)), done);
        piece!.unmap();
      }
    } finally {
      piece!.destroy();
    }
    return all.buffer;
  }
}
