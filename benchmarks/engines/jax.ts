/** @file The cases through jax-js, each compiled with `jit`. */
import { EPS, GROUPS, HEADS, type CaseName } from './cases.ts';
import type { Prepare } from './engine.ts';
import { load } from './packages.ts';

/** The part of its arrays that is used. A call takes one reference of each argument; `ref` makes one more. */
interface JaxArray {
  readonly ref: JaxArray;
  readonly shape: number[];
  reshape(shape: readonly number[]): JaxArray;
  mul(other: JaxArray): JaxArray;
  add(other: JaxArray): JaxArray;
  data(): Promise<Float32Array>;
  /** Submits what computes it. */
  gpuBuffer(): Promise<GPUBuffer>;
  dispose(): void;
}
type Compute = (...operands: JaxArray[]) => JaxArray;
interface Jax {
  init(device: 'webgpu'): Promise<string[]>;
  defaultDevice(device: 'webgpu'): string;
  jit(compute: Compute): Compute;
  getWebGPUDevice(): GPUDevice;
  readonly numpy: {
    array(data: Float32Array): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
  };
  readonly lax: {
    conv(x: JaxArray, w: JaxArray, strides: readonly number[], padding: 'SAME'): JaxArray;
  };
  readonly nn: {
    silu(x: JaxArray): JaxArray;
    standardize(x: JaxArray, axis: number, options: { epsilon: number }): JaxArray;
    dotProductAttention(q: JaxArray, k: JaxArray, v: JaxArray): JaxArray;
  };
}

const jax = await load<Jax>('@jax-js/jax/dist/index.js');
const { numpy, lax, nn } = jax;
if (!(await jax.init('webgpu')).includes('webgpu')) throw new Error('jax-js finds no WebGPU');
jax.defaultDevice('webgpu');

const heads = (x: JaxArray): JaxArray => x.reshape([1, x.shape[1]!, HEADS, -1]);
const product: Compute = (a, b) => numpy.matmul(a!, b!);
const compute: Readonly<Record<CaseName, Compute>> = {
  'matmul-512': product,
  'matmul-1024': product,
  convolution: (x, w) => lax.conv(x!, w!, [1, 1], 'SAME'),
  attention: (q, k, v) =>
    nn.dotProductAttention(heads(q!), heads(k!), heads(v!)).reshape([1, 1024, 320]),
  chain: (x, a, b, c) => nn.silu(x!.mul(a!).add(b!)).mul(c!),
  'group-norm': (x, gamma, beta) =>
    nn
      .standardize(x!.reshape([1, GROUPS, -1]), -1, { epsilon: EPS })
      .reshape([1, 320, 64, 64])
      .mul(gamma!.reshape([1, 320, 1, 1]))
      .add(beta!.reshape([1, 320, 1, 1])),
};

export const prepare: Prepare = async ({ name, operands }, numbers) => {
  const compiled = jax.jit(compute[name]);
  const arrays = Object.entries(operands).map(([operand, { shape }]) =>
    numpy.array(numbers[operand]!).reshape(shape),
  );
  let last: JaxArray | undefined;
  return {
    run: async () => {
      last?.dispose();
      last = compiled(...arrays.map((array) => array.ref));
      // An array that nobody asks for is not computed.
      await last.ref.gpuBuffer();
    },
    done: () =>
      jax
        .getWebGPUDevice()
        .queue.onSubmittedWorkDone()
        .then(() => undefined),
    result: () => last!.ref.data(),
    dispose: () => {
      for (const array of [...arrays, last]) array?.dispose();
    },
  };
};
