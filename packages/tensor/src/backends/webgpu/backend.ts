/** @file The webgpu backend: a graph becomes WGSL kernels, one dispatch after the other, in a few buffers. */
import type { Backend, CompileOptions, Executable, MemoryPlan } from '../../backend.ts';
import { openTranslator } from '../../custom/gpujs.ts';
import { hasCustom } from '../../custom/split.ts';
import { UserError } from '../../errors.ts';
import type { Graph } from '../../graph/types.ts';
import { expandComposites } from '../../graph/walk.ts';
import { rowNumbersOf } from '../../host/rowNumbers.ts';
import { signatureOf, takeStates, takeWeights } from '../../host/signature.ts';
import { optimize } from '../../optimize/optimize.ts';
import type { Weight } from '../../weight.ts';
import { unite } from './alike.ts';
import { type Device, usage } from './device.ts';
import { WebgpuExecutable } from './executable.ts';
import { copyStates } from './halve.ts';
import type { Target } from './kernel.ts';
import { lower, type LowerOptions } from './lower.ts';
import { type ArenaKind, type Layout, layOut, megabytes } from './memory.ts';
import { pack } from './packs.ts';
import { type Program, tensorBytes } from './program.ts';
import { hasKernel } from './planned.ts';
import { remake } from './remake.ts';
import { schedule } from './schedule.ts';
import type { Precision } from './storage.ts';
import { pieces, type ReadWeight, readWhole } from './upload.ts';

export interface DeviceOptions {
  /** How activations and frozen weights are stored; by default f32. f16 where the device has it. */
  readonly precision?: Precision;
  /** The most that a graph may take on the device; by default what it gives. */
  readonly bytes?: number;
  readonly read?: ReadWeight;
}

/** Uploaded at a time before waiting for the device: what is written waits in host memory. */
const UPLOAD = 256 * 2 ** 20;

/** A graph as it is lowered: composites spelled out but for those that have kernels, optimized. */
export function prepare(graph: Graph, target: Target, precision: Precision): Graph {
  const spelled = expandComposites(remake(graph), (node, inputs) =>
    hasKernel(node, inputs, target),
  );
  const optimized = optimize(spelled);
  return precision === 'f16' && target.f16 ? copyStates(optimized) : optimized;
}

/** What is run of a graph that has been prepared. */
export const programOf = (prepared: Graph, target: Target, options: LowerOptions): Program =>
  unite(schedule(pack(lower(prepared, target, options), target)), target);

/** A backend on a device, which `connect` gives at each compile (the same one as long as it lives). */
export function webgpuOn(connect: () => Promise<Device>, options: DeviceOptions = {}): Backend {
  return {
    name: 'webgpu',
    precision: options.precision ?? 'f32',
    compile: async (graph, compileOptions = {}) =>
      compileOn(await connect(), graph, compileOptions, options),
  };
}

/** What a layout takes, by what it is for. */
export function memoryOf({ arenas }: Layout): MemoryPlan {
  const sum = (kind: ArenaKind): number =>
    arenas.reduce((total, arena) => total + (arena.kind === kind ? arena.bytes : 0), 0);
  const [weights, state, activations] = [sum('weights'), sum('states'), sum('working')];
  return { weights, state, activations, total: weights + state + activations };
}

async function compileOn(
  device: Device,
  graph: Graph,
  { weights = new Map(), state = {} }: CompileOptions,
  { precision = 'f32', bytes, read = readWhole }: DeviceOptions,
): Promise<Executable> {
  const signature = signatureOf(graph);
  const wanted = takeWeights(signature, weights);
  const first = [...takeStates(signature, state)];
  const spelled = prepare(graph, device.target, precision);
  const translator = hasCustom(graph) ? await openTranslator() : undefined;
  const program = programOf(spelled, device.target, { precision, translate: translator?.wgsl });
  const layout = layOut(program, device.target);
  const memory = memoryOf(layout);
  checkRoom(program, memory, device, bytes);
  const pipelines = Promise.all(program.steps.map(({ kernel }) => device.pipeline(kernel)));
  // An error of theirs is waited for below, after what may fail before.
  pipelines.catch(() => undefined);
  const arenas = await device.allocate(
    layout.arenas.map((arena) => arena.bytes),
    usage.storage | usage.copySource | usage.copyTarget,
    ` of ${megabytes(memory.total)} for this graph: ${sizesOf(program, memory)}`,
  );
  try {
    await upload(device, program, layout, arenas, wanted, read);
    const executable = new WebgpuExecutable({
      device,
      program,
      regions: layout.regions,
      arenas,
      pipelines: await pipelines,
      signature,
      rowNumbers: rowNumbersOf(spelled),
      memory,
      released: () => undefined,
    });
    device.check();
    for (const [name, , value] of first) await executable.write(name, value());
    return executable;
  } catch (error) {
    for (const arena of arenas) arena.destroy();
    throw error;
  }
}

/** Throws UserError, with the sizes that lead to it, where a graph needs more than it may take. */
function checkRoom(
  program: Program,
  memory: MemoryPlan,
  { name }: Device,
  bytes: number | undefined,
): void {
  if (bytes === undefined || memory.total <= bytes) return;
  throw new UserError(
    `this graph needs ${megabytes(memory.total)} on ${name}, and ${megabytes(bytes)} are allowed: ${sizesOf(program, memory)}. Lower the resolution or the batch, turn recompute on, or allow more`,
  );
}

/** What a graph's memory is for, as messages say it. */
function sizesOf({ tensors }: Program, { weights, state, activations }: MemoryPlan): string {
  const largest = Math.max(0, ...tensors.map(tensorBytes));
  return `weights ${megabytes(weights)}, states ${megabytes(state)}, intermediates ${megabytes(activations)} (the largest ${megabytes(largest)})`;
}

async function upload(
  device: Device,
  program: Program,
  { regions }: Layout,
  arenas: readonly GPUBuffer[],
  weights: ReadonlyMap<string, Weight>,
  read: ReadWeight,
): Promise<void> {
  const { queue } = device.gpu;
  let waiting = 0;
  for (const [id, { origin, storage }] of program.tensors.entries()) {
    const region = regions[id];
    if (!region) continue;
    let { offset } = region;
    const put = (bytes: Uint8Array): void => {
      const whole = bytes.byteLength % 4 === 0 ? bytes : padded(bytes);
      queue.writeBuffer(arenas[region.arena]!, offset, whole as Uint8Array<ArrayBuffer>);
      offset += bytes.byteLength;
      waiting += bytes.byteLength;
    };
    if (origin.kind === 'constant') {
      const { dtype } = origin.type;
      const words =
        dtype === 'f32'
          ? Float32Array.from(origin.data)
          : dtype === 'i32'
            ? Int32Array.from(origin.data)
            : Uint32Array.from(origin.data);
      put(new Uint8Array(words.buffer));
    } else if (origin.kind === 'weight') {
      for (const piece of pieces(origin.name, weights.get(origin.name)!, storage, read)) {
        put(piece);
        if (waiting < UPLOAD) continue;
        await queue.onSubmittedWorkDone();
        waiting = 0;
      }
    }
  }
  await queue.onSubmittedWorkDone();
  device.check();
}

function padded(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
  whole.set(bytes);
  return whole;
}
