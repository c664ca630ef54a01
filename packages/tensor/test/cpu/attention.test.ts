import { describe, expect, it } from 'vitest';
import { attention, grad, reference, trace, type Tracer } from '../../src/index.ts';
import { headTiles, queryChunks } from '../../src/node/cpu/attention.ts';
import { cpu } from '../../src/node/index.ts';
import { compute, drawn, expectNear, f32, type Results } from './support/compute.ts';
import { modelOf, operators } from './support/lowered.ts';

interface Case {
  readonly name: string;
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  /** Width of a head of queries and keys, and of values. */
  readonly d: number;
  readonly dv: number;
  readonly causal?: boolean;
  readonly scale?: number;
}
const cases: readonly Case[] = [
  { name: 'self', batch: 2, heads: 3, queries: 10, keys: 10, d: 4, dv: 4 },
  { name: 'cross', batch: 2, heads: 2, queries: 12, keys: 7, d: 4, dv: 4 },
  { name: 'more keys', batch: 1, heads: 2, queries: 5, keys: 33, d: 8, dv: 8 },
  { name: 'narrow values', batch: 2, heads: 2, queries: 9, keys: 6, d: 6, dv: 2 },
  { name: 'wide values', batch: 1, heads: 3, queries: 9, keys: 11, d: 2, dv: 5 },
  { name: 'one head of one number', batch: 1, heads: 1, queries: 4, keys: 3, d: 1, dv: 1 },
  { name: 'one query', batch: 3, heads: 2, queries: 1, keys: 5, d: 4, dv: 4 },
  { name: 'one key', batch: 2, heads: 2, queries: 5, keys: 1, d: 4, dv: 4 },
  { name: 'causal', batch: 2, heads: 2, queries: 11, keys: 11, d: 4, dv: 4, causal: true },
  { name: 'causal, one token', batch: 2, heads: 2, queries: 1, keys: 1, d: 4, dv: 4, causal: true },
  {
    name: 'causal, narrow values',
    batch: 2,
    heads: 2,
    queries: 7,
    keys: 7,
    d: 6,
    dv: 2,
    causal: true,
  },
  { name: 'a scale of its own', batch: 1, heads: 2, queries: 6, keys: 8, d: 4, dv: 4, scale: 0.1 },
  // Longer than the tiles of ONNX Runtime's kernel.
  { name: 'long', batch: 1, heads: 2, queries: 300, keys: 270, d: 8, dv: 8 },
];
function attended(t: Tracer, c: Case, factor = 1) {
  const { name, batch, heads, queries, keys, d, dv, causal = false, scale } = c;
  const input = (what: string, length: number, width: number) =>
    t.input(`${name}: ${what}`, [batch, length, heads * width]);
  const q = input('q', queries, d).mul(factor);
  const k = input('k', keys, d);
  const v = input('v', keys, dv);
  const y = attention(q, k, v, { heads, causal, ...(scale === undefined ? {} : { scale }) });
  const loss = y.mul(input('dy', queries, dv)).sum();
  const [dq, dk, dv_] = grad(loss, [q, k, v]);
  return { y, dq: dq!, dk: dk!, dv: dv_! };
}
const graph = trace((t) => ({
  outputs: Object.fromEntries(
    cases.flatMap((c) =>
      Object.entries(attended(t, c)).map(([key, value]) => [`${c.name}/${key}`, value]),
    ),
  ),
}));

describe.for([
  // All queries at once, some at a time, one at a time.
  { chunkBytes: 2 ** 26, tileBytes: 2 ** 26 },
  { chunkBytes: 700, tileBytes: 0 },
  { chunkBytes: 1, tileBytes: 0 },
  // Some heads at a time, or one; of these also some queries.
  { chunkBytes: 2 ** 26, tileBytes: 1000 },
  { chunkBytes: 700, tileBytes: 500 },
])('attention with chunks of $chunkBytes bytes, tiles of $tileBytes', (options) => {
  const backend = cpu({ threads: 1, ...options });
  let both: Promise<[Results, Results]> | undefined;
  const results = () =>
    (both ??= Promise.all([
      compute(backend, graph, drawn(graph)),
      compute(reference, graph, drawn(graph)),
    ]));
  it.for(Object.keys(graph.outputs))('%s', async (output) => {
    const [got, want] = await results();
    expectNear({ [output]: got[output]! }, { [output]: want[output]! }, 40);
  });
});

describe('huge scores', () => {
  // Scores of some 10^4, of which softmax leaves one in each row, and of some 10^6 from equal keys.
  const one = cases.find((c) => c.name === 'cross')!;
  const made = (factor: number) => trace((t) => ({ outputs: { ...attended(t, one, factor) } }));
  it.for([1e3, 1e4, 1e6])(
    'times %d give finite results, those of the reference',
    async (factor) => {
      const given = drawn(made(factor));
      const want = await compute(reference, made(factor), given);
      for (const chunkBytes of [2 ** 26, 100]) {
        const got = await compute(cpu({ threads: 1, chunkBytes }), made(factor), given);
        for (const { data } of Object.values(got)) expect(data.every(Number.isFinite)).toBe(true);
        // Scores rounded to f32 are off by factor * 2^-23, and so is the logarithm of every probability.
        expectNear({ y: got.y! }, { y: want.y! }, 10 * factor);
      }
    },
  );
});

describe('NaN', () => {
  const some = cases.filter(({ name }) => ['cross', 'causal', 'long'].includes(name));
  const made = trace((t) => ({
    outputs: Object.fromEntries(
      some.flatMap((c) =>
        Object.entries(attended(t, c)).map(([key, value]) => [`${c.name}/${key}`, value]),
      ),
    ),
  }));
  it.for([2 ** 26, 300])(
    'shows wherever the reference has it, chunks of %d bytes',
    async (chunkBytes) => {
      const given = drawn(made);
      const fast = await cpu({ threads: 1, chunkBytes }).compile(made);
      const slow = await reference.compile(made);
      for (const what of ['q', 'k', 'v', 'dy']) {
        const inputs = { ...given.inputs };
        for (const { name } of some) {
          const { data, shape } = inputs[`${name}: ${what}`]!;
          inputs[`${name}: ${what}`] = f32(
            [...data.slice(0, 5), Number.NaN, ...data.slice(6)],
            shape,
          );
        }
        const [got, want] = [await fast.run(inputs), await slow.run(inputs)];
        for (const key of Object.keys(want))
          expect(Array.from(got[key]!.data, Number.isNaN), `${key} for a NaN in ${what}`).toEqual(
            Array.from(want[key]!.data, Number.isNaN),
          );
      }
      await fast.dispose();
    },
  );
});

describe('tiles of heads', () => {
  const shape = { batch: 2, heads: 4, queries: 10, keys: 8 };
  // One head: 10 * 8 scores of 4 bytes.
  it.for([
    { bytes: 2560, parts: 1 },
    { bytes: 2559, parts: 2 },
    { bytes: 1279, parts: 4 },
    { bytes: 320, parts: 8 },
    { bytes: 319, parts: 1 },
    { bytes: Number.POSITIVE_INFINITY, parts: 1 },
  ])('of $bytes bytes: $parts', ({ bytes, parts }) => {
    expect(headTiles(bytes, shape)).toBe(parts);
  });

  it('are some 32 at most', () => {
    expect(headTiles(320, { ...shape, batch: 16 })).toBe(32);
    expect(headTiles(320, { ...shape, batch: 11 })).toBe(44);
  });

  it('are for operators with one thread only', () => {
    const c = { name: 'self', ...shape, queries: 8, d: 2, dv: 2 };
    const made = trace((t) => ({ outputs: { ...attended(t, c) } }));
    const softmaxes = (threads: number) =>
      operators(modelOf(made, { tileBytes: 512 }, { threads })).Softmax;
    expect([softmaxes(1), softmaxes(2)]).toEqual([4, 1]);
  });
});

describe('chunks of queries', () => {
  const shape = { batch: 2, heads: 4, queries: 10, keys: 8 };
  // One query: 2 * 4 * 8 scores of 4 bytes.
  it.for([
    { bytes: 2560, chunks: [10] },
    { bytes: 2559, chunks: [5, 5] },
    { bytes: 1024, chunks: [3, 3, 4] },
    { bytes: 256, chunks: new Array<number>(10).fill(1) },
    { bytes: 0, chunks: new Array<number>(10).fill(1) },
  ])('of $bytes bytes: $chunks', ({ bytes, chunks }) => {
    expect(queryChunks(bytes, shape)).toEqual(chunks);
  });

  it('are what the gradient is made of', () => {
    const made = trace((t) => ({ outputs: { dq: attended(t, cases[0]!).dq } }));
    expect(operators(modelOf(made)).Softmax).toBe(1);
    // One query: 2 * 3 * 10 scores.
    expect(operators(modelOf(made, { chunkBytes: 240 * 3 })).Softmax).toBe(4);
  });
});
