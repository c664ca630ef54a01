import { hostArray, type HostArray, reference, trace } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import { Executables } from '../../src/encoding/executables.ts';
import { LruCache } from '../../src/encoding/lru.ts';

describe('a cache within a budget', () => {
  it('lets go of what was used longest ago, and keeps what is too large alone', () => {
    const gone: string[] = [];
    const cache = new LruCache<string>(10, (value) => gone.push(value));
    cache.set('a', 'A', 4);
    cache.set('b', 'B', 4);
    expect(cache.get('a')).toBe('A');
    cache.set('c', 'C', 4);
    expect(gone).toEqual(['B']);
    cache.set('d', 'D', 40);
    expect(gone).toEqual(['B', 'A', 'C']);
    expect([cache.get('d'), cache.get('c')]).toEqual(['D', undefined]);
    cache.set('d', 'E', 1);
    cache.clear();
    expect(gone).toEqual(['B', 'A', 'C', 'D', 'E']);
  });
});

describe('executables', () => {
  const doubling = (size: number) =>
    trace((t) => ({ outputs: { y: t.input('x', [size]).mul(2) } }));
  const counting = () => {
    const counts = { compiled: 0, disposed: 0, running: 0, most: 0 };
    return {
      counts,
      backend: {
        name: 'reference' as const,
        compile: async (...call: Parameters<typeof reference.compile>) => {
          counts.compiled++;
          const executable = await reference.compile(...call);
          return {
            ...executable,
            run: async (inputs?: Readonly<Record<string, HostArray>>) => {
              counts.most = Math.max(counts.most, ++counts.running);
              await new Promise((resolve) => setTimeout(resolve, 2));
              counts.running--;
              return executable.run(inputs);
            },
            dispose: async () => {
              counts.disposed++;
              await executable.dispose();
            },
          };
        },
      },
    };
  };
  const ones = (size: number) => ({
    x: hostArray(new Float32Array(size).fill(1), [size]) as HostArray,
  });

  it('are compiled once for a key, whoever asks at the same time, and run one call at a time', async () => {
    const { counts, backend } = counting();
    const executables = new Executables(backend, 1e6);
    const program = () => ({ graph: doubling(3), weights: new Map() });
    const results = await Promise.all(
      [1, 2, 3].map(async () => (await executables.get('a', program)).run(ones(3))),
    );
    expect(results.map(({ y }) => [...y!.data])).toEqual([
      [2, 2, 2],
      [2, 2, 2],
      [2, 2, 2],
    ]);
    expect(counts).toMatchObject({ compiled: 1, most: 1, disposed: 0 });
    await executables.dispose();
    expect(counts.disposed).toBe(1);
  });

  it('go when others need the room, after what they are doing', async () => {
    const { counts, backend } = counting();
    const executables = new Executables(backend, 100);
    const first = await executables.get('a', () => ({ graph: doubling(10), weights: new Map() }));
    const running = first.run(ones(10));
    await executables.get('b', () => ({ graph: doubling(11), weights: new Map() }));
    expect([...(await running)['y']!.data]).toEqual(new Array(10).fill(2));
    await executables.dispose();
    expect(counts).toMatchObject({ compiled: 2, disposed: 2 });
  });

  it('that cannot be compiled are asked for again', async () => {
    const { backend } = counting();
    const executables = new Executables(backend, 100);
    const graph = trace((t) => ({ outputs: { y: t.weight('w', [2]) } }));
    const program = () => ({ graph, weights: new Map() });
    await expect(executables.get('a', program)).rejects.toThrow(/no weight w/);
    await expect(executables.get('a', program)).rejects.toThrow(/no weight w/);
    await executables.dispose();
  });
});
