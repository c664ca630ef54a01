/** @file The cases through ONNX Runtime's WebGPU, with the optimizations that it makes by default. */
import { EPS, GROUPS, HEADS, sizeOf, type CaseName } from './cases.ts';
import type { Prepare } from './engine.ts';
import { modelOf, type Node, type Value } from './onnx.ts';
import { load } from './packages.ts';

interface OrtTensor {
  getData(): Promise<Float32Array>;
  dispose(): void;
}
type Tensors = Readonly<Record<string, OrtTensor>>;
interface Ort {
  readonly env: {
    readonly wasm: { numThreads: number };
    readonly webgpu: { readonly device: GPUDevice | Promise<GPUDevice> };
  };
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: { executionProviders: ['webgpu']; preferredOutputLocation: 'gpu-buffer' },
    ): Promise<{ run(feeds: Tensors): Promise<Tensors>; release(): Promise<void> }>;
  };
  readonly Tensor: {
    fromGpuBuffer(
      buffer: GPUBuffer,
      options: { dataType: 'float32'; dims: readonly number[] },
    ): OrtTensor;
  };
}

const ort = await load<Ort>('onnxruntime-web/dist/ort.webgpu.bundle.min.mjs');
// Of WebAssembly: the operations run on the device.
ort.env.wasm.numThreads = 1;

const integers = (name: string, ...list: number[]): Value => ({
  ...{ name, shape: [list.length], data: BigInt64Array.from(list, BigInt) },
});
const filled = (name: string, size: number, value: number): Value => ({
  ...{ name, shape: [size], data: new Float32Array(size).fill(value) },
});
const product: readonly Node[] = [{ op: 'MatMul', inputs: ['a', 'b'], output: 'result' }];
const nodes: Readonly<Record<CaseName, readonly Node[]>> = {
  'matmul-512': product,
  'matmul-1024': product,
  convolution: [
    {
      ...{ op: 'Conv', inputs: ['x', 'w'], output: 'result' },
      integers: { kernel_shape: [3, 3], pads: [1, 1, 1, 1] },
    },
  ],
  // Its MultiHeadAttention is wrong by 1.6e-2 on lavapipe, where ONNX Runtime on the processor agrees with sdft and jax-js to 5e-7.
  attention: [
    ...['q', 'k', 'v'].flatMap((x): Node[] => [
      { op: 'Reshape', inputs: [x, 'heads'], output: `${x} split` },
      {
        ...{ op: 'Transpose', inputs: [`${x} split`], output: `${x} by head` },
        integers: { perm: x === 'k' ? [0, 2, 3, 1] : [0, 2, 1, 3] },
      },
    ]),
    { op: 'MatMul', inputs: ['q by head', 'k by head'], output: 'products' },
    { op: 'Mul', inputs: ['products', 'scale'], output: 'scores' },
    { op: 'Softmax', inputs: ['scores'], output: 'weights' },
    { op: 'MatMul', inputs: ['weights', 'v by head'], output: 'mixed' },
    {
      ...{ op: 'Transpose', inputs: ['mixed'], output: 'by token' },
      integers: { perm: [0, 2, 1, 3] },
    },
    { op: 'Reshape', inputs: ['by token', 'joined'], output: 'result' },
  ],
  chain: [
    { op: 'Mul', inputs: ['x', 'a'], output: 'xa' },
    { op: 'Add', inputs: ['xa', 'b'], output: 'y' },
    { op: 'Sigmoid', inputs: ['y'], output: 's' },
    { op: 'Mul', inputs: ['y', 's'], output: 'silu' },
    { op: 'Mul', inputs: ['silu', 'c'], output: 'result' },
  ],
  // As PyTorch exports it.
  'group-norm': [
    { op: 'Reshape', inputs: ['x', 'groups'], output: 'grouped' },
    {
      ...{ op: 'InstanceNormalization', inputs: ['grouped', 'ones', 'zeros'], output: 'normal' },
      floats: { epsilon: EPS },
    },
    { op: 'Reshape', inputs: ['normal', 'picture'], output: 'back' },
    { op: 'Reshape', inputs: ['gamma', 'channels'], output: 'factor' },
    { op: 'Reshape', inputs: ['beta', 'channels'], output: 'summand' },
    { op: 'Mul', inputs: ['back', 'factor'], output: 'scaled' },
    { op: 'Add', inputs: ['scaled', 'summand'], output: 'result' },
  ],
};
const constants: Partial<Record<CaseName, readonly Value[]>> = {
  attention: [
    integers('heads', 1, 1024, HEADS, -1),
    integers('joined', 1, 1024, 320),
    filled('scale', 1, 1 / Math.sqrt(320 / HEADS)),
  ],
  'group-norm': [
    integers('groups', 1, GROUPS, -1),
    integers('picture', 1, 320, 64, 64),
    integers('channels', 1, 320, 1, 1),
    filled('ones', GROUPS, 1),
    filled('zeros', GROUPS, 0),
  ],
};

export const prepare: Prepare = async ({ name, operands, result }, numbers) => {
  const values = Object.entries(operands).map(
    ([operand, { shape, weight }]): Value => ({
      ...{ name: operand, shape },
      ...(weight ? { data: numbers[operand]! } : {}),
    }),
  );
  const model = modelOf(nodes[name], [...values, ...(constants[name] ?? [])], {
    ...{ name: 'result', shape: result },
  });
  const session = await ort.InferenceSession.create(model, {
    ...{ executionProviders: ['webgpu'], preferredOutputLocation: 'gpu-buffer' },
  });
  const gpu = await ort.env.webgpu.device;
  const { queue } = gpu;
  const buffers: GPUBuffer[] = [];
  const feeds = Object.fromEntries(
    values
      .filter(({ data }) => !data)
      .map(({ name: operand, shape }) => {
        const buffer = gpu.createBuffer({
          size: 4 * sizeOf(shape),
          usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
        });
        queue.writeBuffer(buffer, 0, numbers[operand]! as Float32Array<ArrayBuffer>);
        buffers.push(buffer);
        const described = { dataType: 'float32', dims: shape } as const;
        return [operand, ort.Tensor.fromGpuBuffer(buffer, described)];
      }),
  );
  let last: OrtTensor | undefined;
  return {
    run: async () => {
      last?.dispose();
      last = (await session.run(feeds))['result'];
    },
    done: () => queue.onSubmittedWorkDone().then(() => undefined),
    result: () => last!.getData(),
    dispose: async () => {
      last?.dispose();
      await session.release();
      for (const buffer of buffers) buffer.destroy();
    },
  };
};
