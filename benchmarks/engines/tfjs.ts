/** @file The cases through TensorFlow.js, operation by operation: it has no compiler. Pictures lie channels last, the only layout of its webgpu backend. */
import { EPS, GROUPS, HEADS, type CaseName } from './cases.ts';
import type { Prepare } from './engine.ts';
import { required } from './packages.ts';

interface TfTensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}
type Operands = Readonly<Record<string, TfTensor>>;
interface Tf {
  setBackend(name: 'webgpu'): Promise<boolean>;
  ready(): Promise<void>;
  backend(): {
    readonly queue: { onSubmittedWorkDone(): Promise<void> };
    readonly commandEncoder: GPUCommandEncoder | null;
    endComputePassEncoder(): void;
    submitQueue(): void;
  };
  tidy(compute: () => TfTensor): TfTensor;
  tensor(data: Float32Array, shape: readonly number[]): TfTensor;
  reshape(x: TfTensor, shape: readonly number[]): TfTensor;
  transpose(x: TfTensor, axes: readonly number[]): TfTensor;
  matMul(a: TfTensor, b: TfTensor, transposeA?: boolean, transposeB?: boolean): TfTensor;
  conv2d(x: TfTensor, w: TfTensor, strides: number, pad: 'same'): TfTensor;
  mul(a: TfTensor, b: TfTensor | number): TfTensor;
  add(a: TfTensor, b: TfTensor | number): TfTensor;
  sub(a: TfTensor, b: TfTensor): TfTensor;
  rsqrt(x: TfTensor): TfTensor;
  sigmoid(x: TfTensor): TfTensor;
  softmax(x: TfTensor): TfTensor;
  moments(
    x: TfTensor,
    axes: readonly number[],
    keepDims: boolean,
  ): { readonly mean: TfTensor; readonly variance: TfTensor };
}

const tf = required<Tf>('@tensorflow/tfjs-core');
required('@tensorflow/tfjs-backend-webgpu');
if (!(await tf.setBackend('webgpu')))
  throw new Error('TensorFlow.js cannot use its webgpu backend');
await tf.ready();

const heads = (x: TfTensor): TfTensor =>
  tf.transpose(tf.reshape(x, [1, 1024, HEADS, -1]), [0, 2, 1, 3]);
const product = ({ a, b }: Operands): TfTensor => tf.matMul(a!, b!);
const compute: Readonly<Record<CaseName, (operands: Operands) => TfTensor>> = {
  'matmul-512': product,
  'matmul-1024': product,
  convolution: ({ x, w }) => tf.conv2d(x!, w!, 1, 'same'),
  attention: ({ q, k, v }) => {
    const scores = tf.mul(tf.matMul(heads(q!), heads(k!), false, true), 1 / Math.sqrt(320 / HEADS));
    const mixed = tf.matMul(tf.softmax(scores), heads(v!));
    return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [1, 1024, 320]);
  },
  chain: ({ x, a, b, c }) => {
    const y = tf.add(tf.mul(x!, a!), b!);
    return tf.mul(tf.mul(y, tf.sigmoid(y)), c!);
  },
  'group-norm': ({ x, gamma, beta }) => {
    const grouped = tf.reshape(x!, [1, 64 * 64, GROUPS, -1]);
    const { mean, variance } = tf.moments(grouped, [1, 3], true);
    const normal = tf.mul(tf.sub(grouped, mean), tf.rsqrt(tf.add(variance, EPS)));
    return tf.add(tf.mul(tf.reshape(normal, [1, 64, 64, 320]), gamma!), beta!);
  },
};

/** [N,C,H,W] as [N,H,W,C], weights [O,I,H,W] as [H,W,I,O]. */
function asTheyLie(data: Float32Array, shape: readonly number[], weight: boolean): TfTensor {
  const tensor = tf.tensor(data, shape);
  return shape.length === 4 ? tf.transpose(tensor, weight ? [2, 3, 1, 0] : [0, 2, 3, 1]) : tensor;
}

export const prepare: Prepare = async ({ name, operands, result }, numbers) => {
  const given = Object.fromEntries(
    Object.entries(operands).map(([operand, { shape, weight = false }]) => [
      operand,
      asTheyLie(numbers[operand]!, shape, weight),
    ]),
  );
  let last: TfTensor | undefined;
  return {
    run: () => {
      last?.dispose();
      last = tf.tidy(() => compute[name](given));
    },
    done: async () => {
      const backend = tf.backend();
      // It submits every fifteenth operation by itself; then there is nothing left to submit.
      if (backend.commandEncoder) {
        backend.endComputePassEncoder();
        backend.submitQueue();
      }
      await backend.queue.onSubmittedWorkDone();
    },
    result: () => (result.length === 4 ? tf.transpose(last!, [0, 3, 1, 2]) : last!).data(),
    dispose: () => {
      for (const tensor of [...Object.values(given), last]) tensor?.dispose();
    },
  };
};
