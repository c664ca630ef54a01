/** @file The cases through sdft's webgpu backend. */
import { attention, groupNorm, hostArray, silu, apply, trace, type Tensor } from '@sdft/tensor';
import { webgpu } from '@sdft/tensor/node';
import { EPS, GROUPS, HEADS, type CaseName } from './cases.ts';
import type { Prepare } from './engine.ts';

type Operands = Readonly<Record<string, Tensor>>;
const compute: Readonly<Record<CaseName, (operands: Operands) => Tensor>> = {
  'matmul-512': ({ a, b }) => a!.matmul(b!),
  'matmul-1024': ({ a, b }) => a!.matmul(b!),
  convolution: ({ x, w }) => apply('conv2d', [x!, w!], { stride: [1, 1], padding: [1, 1, 1, 1] }),
  attention: ({ q, k, v }) => attention(q!, k!, v!, { heads: HEADS }),
  chain: ({ x, a, b, c }) => silu(x!.mul(a!).add(b!)).mul(c!),
  'group-norm': ({ x, gamma, beta }) => groupNorm(x!, gamma!, beta!, { groups: GROUPS, eps: EPS }),
};

const backend = webgpu();

export const prepare: Prepare = async ({ name, operands, result }, numbers) => {
  const graph = trace((t) => {
    const given = Object.entries(operands).map(([operand, { shape, weight }]) => [
      operand,
      weight ? t.weight(operand, shape) : t.state(operand, shape),
    ]);
    t.state('result', result);
    t.state('small', []);
    const computed = compute[name](Object.fromEntries(given) as Operands);
    return { outputs: {}, updates: { result: computed } };
  });
  const weights = Object.entries(operands).filter(([, { weight }]) => weight);
  const states = Object.entries(operands).filter(([, { weight }]) => !weight);
  const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) =>
    new Uint8Array(buffer, byteOffset, byteLength);
  const executable = await backend.compile(graph, {
    weights: new Map(
      weights.map(([operand, { shape }]) => [
        operand,
        { dtype: 'f32', shape, read: () => bytes(numbers[operand]!) },
      ]),
    ),
    state: Object.fromEntries(
      states.map(([operand, { shape }]) => [operand, hostArray(numbers[operand]!, shape)]),
    ),
  });
  let running: Promise<unknown>[] = [];
  return {
    run: () => {
      running.push(executable.run());
    },
    done: async () => {
      await Promise.all(running);
      running = [];
      // A run without outputs resolves when it has been submitted; what is read comes after it.
      await executable.read('small');
    },
    result: async () => (await executable.read('result')).data as Float32Array,
    dispose: () => executable.dispose(),
  };
};
