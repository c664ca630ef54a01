/** @file u8: codes that live in states and are moved, chosen and cast. */
import { describe, expect, it } from 'vitest';
import {
  concat,
  hostArray,
  type HostArray,
  nullBackend,
  reference,
  trace,
} from '../../src/index.ts';
import { cpu } from '../../src/node/index.ts';
import { testedWebgpu } from '../support/webgpu.ts';

const bytes = (values: readonly number[], shape: readonly number[]): HostArray =>
  hostArray(Uint8Array.from(values), shape) as HostArray;
const kernels = cpu({ threads: 2, kernelElements: 1 });

const backends = [
  ...[reference, cpu(), { ...kernels, name: 'cpu with kernels' as const }, testedWebgpu()],
];

describe.each(backends)('on $name', (backend) => {
  it('codes are kept from call to call, one byte each', async () => {
    const graph = trace((t) => {
      const codes = t.state('codes', [3, 4], 'u8');
      const table = t.constant(Array.from({ length: 256 }, (_, i) => i / 2));
      const next = codes.cast('i32').add(t.input('add', [3, 4], 'i32'));
      const change = t.input('change', [], 'f32').greater(0);
      return {
        outputs: {
          values: table.gather(codes.cast('i32')),
          codes,
          moved: concat([codes.transpose().slice(0, 1, 3), codes.reshape([4, 3])], 0),
          repeated: codes
            .slice(0, 0, 1)
            .broadcastTo([2, 4])
            .pad([[1, 0]]),
        },
        updates: { codes: change.where(next.cast('u8'), codes) },
      };
    });
    const first = [0, 1, 2, 127, 128, 129, 200, 253, 254, 255, 3, 7];
    const executable = await backend.compile(graph, { state: { codes: bytes(first, [3, 4]) } });
    const run = (change: number) =>
      executable.run({
        add: hostArray(new Int32Array(12).fill(3), [3, 4]) as HostArray,
        change: hostArray(Float32Array.of(change), []) as HostArray,
      });
    const before = await run(-1);
    expect([...before['values']!.data]).toEqual(first.map((code) => code / 2));
    expect([...before['moved']!.data].slice(0, 6)).toEqual([1, 129, 255, 2, 200, 3]);
    expect([...before['repeated']!.data]).toEqual([0, 0, 1, 2, 127, 0, 0, 1, 2, 127]);
    expect([...(await run(1))['codes']!.data]).toEqual(first);
    // Beyond 255 they begin again, as casts from i32 do everywhere.
    const read = await executable.read('codes');
    expect(read.data).toBeInstanceOf(Uint8Array);
    expect([...read.data]).toEqual(first.map((code) => (code + 3) % 256));
    await executable.write('codes', bytes(first, [3, 4]));
    expect([...(await executable.read('codes')).data]).toEqual(first);
    await executable.dispose();
    expect((await nullBackend.compile(graph)).memory.state).toBe(12);
  });

  it('integers are compared as integers where states are updated', async () => {
    const graph = trace((t) => {
      const [a, b] = [t.input('a', [3], 'i32'), t.input('b', [3], 'i32')];
      const x = t.state('x', [3]);
      return { outputs: {}, updates: { x: a.less(b).where(x.add(1), x.sub(1)) } };
    });
    const executable = await backend.compile(graph);
    const integers = (...values: number[]) => hostArray(Int32Array.from(values), [3]) as HostArray;
    await executable.run({ a: integers(1, -5, 7), b: integers(2, -4, 7) });
    expect([...(await executable.read('x')).data]).toEqual([1, 1, -1]);
    await executable.dispose();
  });
});
