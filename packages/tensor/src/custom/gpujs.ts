/** @file gpu.js, as much of it as custom operations use: JavaScript to WebAssembly, and to WGSL. */
import { failureIn, internal, UserError } from '../errors.ts';
import { type CustomDefinition, type Shape, sizeOf } from '../graph/types.ts';
import { sizesOf } from './shape.ts';

/** What is used of it; its own types leave some of that out. */
interface GpuJs {
  readonly GPU: {
    new (settings: {
      mode: 'webasm' | 'cpu' | 'webgpu';
    }): {
      createKernel(source: string, settings: object): Built;
      destroy(): Promise<void>;
    };
    readonly isWebAssemblySupported: boolean;
    /** Whether a mode may be asked for that this machine does not have. */
    disableValidation(): void;
    enableValidation(): void;
  };
  input(data: Float32Array, sizes: readonly number[]): unknown;
}
interface Built {
  (...inputs: unknown[]): Promise<Nested>;
  readonly kernel: {
    build(...inputs: unknown[]): unknown;
    compiledSource: string | null;
    componentCount: number;
    _buildAsync(): Promise<void>;
  };
}
type Nested = Float32Array | readonly Nested[];

export interface Translator {
  /** A kernel of gpu.js in WebAssembly, or, where there is none, in JavaScript; it takes and gives flat arrays, and computes in threads of its own where there is much to do. */
  open(call: KernelCall): HostKernel;
  /** The compute shader that gpu.js makes of a kernel. */
  wgsl(call: KernelCall): string;
}
export interface KernelCall {
  readonly definition: CustomDefinition;
  readonly inputs: readonly Shape[];
  readonly output: Shape;
  /** The layer, for messages. */
  readonly path: string;
}
export interface HostKernel {
  run(inputs: readonly Float32Array[]): Promise<Float32Array>;
  close(): Promise<void>;
}

/** The largest number of rounds of a loop whose end gpu.js does not see; what goes beyond would be cut off without a word. */
const MOST_ROUNDS = 2 ** 30;

/** Loads gpu.js. Throws UserError where it is not installed. */
export async function openTranslator(): Promise<Translator> {
  let loaded: GpuJs;
  try {
    loaded = ((await import('gpu.js')) as unknown as { readonly default: GpuJs }).default;
  } catch (error) {
    throw new UserError(
      `custom operations need the package gpu.js, which could not be loaded (${(error as Error).message.split('\n', 1)[0]}). Install it: npm install gpu.js@2.24.1`,
    );
  }
  const { GPU, input } = loaded;
  type Mode = 'webasm' | 'cpu' | 'webgpu';
  const create = (mode: Mode, { definition, inputs, output }: KernelCall) => {
    const gpu = new GPU({ mode });
    const kernel = gpu.createKernel(definition.source, {
      output: sizesOf(output),
      constants: { ...definition.constants },
      functions: definition.functions.map(({ source }) => ({ source, settings: {} })),
      argumentTypes: inputs.map(() => 'Input'),
      loopMaxIterations: MOST_ROUNDS,
      asyncMode: true,
    });
    return { gpu, kernel };
  };
  const build = ({ kernel }: Built, { inputs }: KernelCall): void => {
    kernel.build(...inputs.map((shape) => input(new Float32Array(sizeOf(shape)), sizesOf(shape))));
  };
  const explained = <T>(call: KernelCall, translate: () => T): T => {
    try {
      return translate();
    } catch (error) {
      throw failureIn(
        `customOp ${call.definition.name}`,
        call.path,
      )(
        `gpu.js cannot translate its kernel (${(error as Error).message.split('\n', 1)[0]!.trim()}). A kernel knows its inputs, this.thread, this.output, this.constants, Math and the functions that it is given; it returns one number`,
      );
    }
  };
  const shader = (call: KernelCall): string => {
    // Without a device of gpu.js's own, whether there is one or not.
    GPU.disableValidation();
    try {
      const { kernel: built } = create('webgpu', call);
      built.kernel._buildAsync = async () => {};
      build(built, call);
      if (built.kernel.componentCount !== 1) throw new Error('it returns several numbers');
      return built.kernel.compiledSource!;
    } finally {
      GPU.enableValidation();
    }
  };
  const onHost = (call: KernelCall) => {
    const made = create(GPU.isWebAssemblySupported ? 'webasm' : 'cpu', call);
    build(made.kernel, call);
    return made;
  };
  // What one of both translations refuses is refused on every backend.
  return {
    wgsl: (call) =>
      explained(call, () => {
        const source = shader(call);
        void onHost(small(call)).gpu.destroy();
        return source;
      }),
    open: (call) => {
      const { gpu, kernel } = explained(call, () => {
        shader(small(call));
        return onHost(call);
      });
      return {
        run: async (inputs) =>
          flat(
            await kernel(...inputs.map((data, i) => input(data, sizesOf(call.inputs[i]!)))),
            sizeOf(call.output),
          ),
        close: async () => {
          await gpu.destroy();
        },
      };
    },
  };
}

/** The same for tensors of one element. */
const small = (call: KernelCall): KernelCall => {
  const one = (shape: Shape): Shape => shape.map(() => 1);
  return { ...call, inputs: call.inputs.map(one), output: one(call.output) };
};

function flat(nested: Nested, size: number): Float32Array {
  const all = new Float32Array(size);
  let at = 0;
  for (const row of rowsOf(nested)) {
    all.set(row, at);
    at += row.length;
  }
  if (at !== size) throw internal(`gpu.js gives ${at} elements of ${size}`);
  return all;
}

function* rowsOf(nested: Nested): Generator<Float32Array> {
  if (nested instanceof Float32Array) yield nested;
  else for (const part of nested) yield* rowsOf(part);
}
