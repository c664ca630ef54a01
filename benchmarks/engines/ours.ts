/** @file The cases through sdft's webgpu backend. */
import {
  apply,
  attention,
  type Graph,
  groupNorm,
  hostArray,
  type HostArray,
  silu,
  type Tensor,
  trace,
  type Weight,
} from '@sdft/tensor';
import { webgpu } from '@sdft/tensor/node';
import { type Case, type CaseName, EPS, GROUPS, HEADS } from './cases.ts';
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

/** `whole`: the result is read back at each run; else it stays where it was computed, and one number of it is read. */
function graphOf({ name, operands, result }: Case, whole: boolean): Graph {
  return trace((t) => {
    const given = Object.entries(operands).map(([operand, { shape, weight }]) => [
      operand,
      weight ? t.weight(operand, shape) : t.state(operand, shape),
    ]);
    const computed = compute[name](Object.fromEntries(given) as Operands);
    if (whole) return { outputs: { result: computed } };
    // Of a chain of single elements it would compute that one only; as a state's next value it is computed where it stays.
    if (name === 'chain') {
      const next = t.state('result', result);
      return {
        outputs: { first: next.reshape([-1]).slice(0, 0, 1) },
        updates: { result: computed },
      };
    }
    return { outputs: { first: computed.reshape([-1]).slice(0, 0, 1) } };
  });
}

async function compiled(
  one: Case,
  whole: boolean,
  numbers: Readonly<Record<string, Float32Array>>,
) {
  const all = Object.entries(one.operands);
  const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) =>
    new Uint8Array(buffer, byteOffset, byteLength);
  const weights = all
    .filter(({ 1: { weight } }) => weight)
    .map(([operand, { shape }]): [string, Weight] => [
      operand,
      { dtype: 'f32', shape, read: () => bytes(numbers[operand]!) },
    ]);
  const states = all
    .filter(({ 1: { weight } }) => !weight)
    .map(([operand, { shape }]) => [operand, hostArray(numbers[operand]!, shape) as HostArray]);
  return backend.compile(graphOf(one, whole), {
    ...{ weights: new Map(weights), state: Object.fromEntries(states) },
  });
}

export const prepare: Prepare = async (one, numbers) => {
  const executable = await compiled(one, false, numbers);
  let running: Promise<Record<string, HostArray>>[] = [];
  let first: number | undefined;
  return {
    run: () => {
      running.push(executable.run());
    },
    done: async () => {
      const results = await Promise.all(running);
      first = results.at(-1)!['first']!.data[0];
      running = [];
    },
    result: async () => {
      if (one.name === 'chain') return (await executable.read('result')).data as Float32Array;
      const whole = await compiled(one, true, numbers);
      const data = (await whole.run())['result']!.data as Float32Array;
      await whole.dispose();
      if (first !== data[0])
        throw new Error(`what is timed gives ${first}, what is checked ${data[0]}`);
      return data;
    },
    dispose: () => executable.dispose(),
  };
};
