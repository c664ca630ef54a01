import { describe, expect, it } from 'vitest';
import {
  apply,
  type Backend,
  draws,
  type Executable,
  hostArray,
  nullBackend,
  type StorageType,
  trace,
  UserError,
  type Weight,
} from '../../src/index.ts';
import { backends } from '../support/backends.ts';

const f32 = (values: readonly number[], shape: readonly number[] = [values.length]) =>
  hostArray(Float32Array.from(values), shape);
const i32 = (values: readonly number[], shape: readonly number[] = [values.length]) =>
  hostArray(Int32Array.from(values), shape);

describe.for(backends)('on $backend.name', ({ backend }) => {
  const using = async <T>(
    graph: Parameters<Backend['compile']>[0],
    options: Parameters<Backend['compile']>[1],
    body: (executable: Executable) => Promise<T>,
  ): Promise<T> => {
    const executable = await backend.compile(graph, options);
    try {
      return await body(executable);
    } finally {
      await executable.dispose();
    }
  };

  describe('inputs', () => {
    const graph = trace((t) => {
      const noise = t.input('noise', [2, 3]);
      const timesteps = t.input('timesteps', [2], 'i32');
      const mask = t.input('mask', [3], 'bool');
      t.input('unread', [4]);
      return {
        outputs: {
          noise: noise.mul(1),
          masked: mask.where(noise, 0),
          later: timesteps.add(1),
          mask: mask.equal(mask.equal(mask)),
          scalar: noise.sum(),
        },
      };
    });
    const noise = f32([1, 2, 3, 4, 5, 6], [2, 3]);
    const good = {
      noise,
      timesteps: i32([7, 999]),
      mask: hostArray(Uint8Array.of(1, 0, 1), [3]),
      unread: f32([0, 0, 0, 0]),
    };

    it('of every type come in, and results of every type go out', () =>
      using(graph, {}, async (executable) => {
        const results = await executable.run(good);
        expect(results.noise).toMatchObject({ shape: [2, 3], data: noise.data });
        expect(results.masked!.data).toEqual(Float32Array.of(1, 0, 3, 4, 0, 6));
        expect(results.later!.data).toEqual(Int32Array.of(8, 1000));
        expect(results.mask!.data).toEqual(Uint8Array.of(1, 0, 1));
        expect(results.scalar).toMatchObject({ shape: [], data: Float32Array.of(21) });
      }));

    it('may be views: transposed, strided, reversed, cut out', () =>
      using(graph, {}, async (executable) => {
        const of = async (view: typeof noise) =>
          Array.from((await executable.run({ ...good, noise: view })).noise!.data);
        const stored = f32([0, 1, 2, 3, 4, 5], [3, 2]);
        expect(await of(stored.transpose(1, 0))).toEqual([0, 2, 4, 1, 3, 5]);
        const large = f32(
          Array.from({ length: 24 }, (_, i) => i),
          [4, 6],
        );
        expect(await of(large.step(2, 2))).toEqual([0, 2, 4, 12, 14, 16]);
        expect(await of(large.lo(1, 2).hi(2, 3))).toEqual([8, 9, 10, 14, 15, 16]);
        expect(await of(f32([1, 2, 3, 4, 5, 6], [2, 3]).step(-1, -1))).toEqual([6, 5, 4, 3, 2, 1]);
        // What the caller gave stays his.
        expect(stored.data).toEqual(Float32Array.of(0, 1, 2, 3, 4, 5));
      }));

    it.each<[string, Record<string, unknown>, RegExp]>([
      ['a missing one', { noise: undefined }, /input noise.*\[2, 3\].*missing/],
      ['a wrong shape', { noise: f32([1, 2, 3, 4, 5, 6], [3, 2]) }, /noise.*\[2, 3\].*\[3, 2\]/],
      ['a wrong rank', { noise: f32([1, 2, 3, 4, 5, 6]) }, /noise.*\[2, 3\].*\[6\]/],
      ['a wrong type', { timesteps: f32([1, 2]) }, /timesteps.*Int32Array.*Float32Array/],
      [
        'double precision',
        { noise: hostArray(new Float64Array(6) as unknown as Float32Array, [2, 3]) },
        /noise.*Float32Array.*Float64Array/,
      ],
      ['an unknown name', { nois: noise }, /no input called nois\b.*noise/],
    ])('refuses %s', (_, change, message) =>
      using(graph, {}, async (executable) => {
        const inputs = Object.fromEntries(
          Object.entries({ ...good, ...change }).filter(([, value]) => value !== undefined),
        );
        const run = executable.run(inputs as typeof good);
        await expect(run).rejects.toThrow(UserError);
        await expect(executable.run(inputs as typeof good)).rejects.toThrow(message);
        // It has computed nothing and still can.
        expect((await executable.run(good)).scalar!.data[0]).toBe(21);
      }),
    );
  });

  describe('states', () => {
    const exchange = trace((t) => {
      const a = t.state('a', [3]);
      const b = t.state('b', [3]);
      return {
        outputs: { sum: a.add(b), before: a.mul(1) },
        updates: { a: b, b: a.add(b) },
      };
    });

    it('start as given or as zeros, and move on by what they were', () =>
      using(exchange, { state: { b: f32([1, 2, 3]) } }, async (executable) => {
        expect((await executable.read('a')).data).toEqual(Float32Array.of(0, 0, 0));
        // Fibonacci: a, b = b, a + b, both from the old values.
        for (const [sum, a, b] of [
          [1, 1, 1],
          [2, 1, 2],
          [3, 2, 3],
          [5, 3, 5],
        ] as const) {
          const results = await executable.run();
          expect(results.sum!.data[0]).toBe(sum);
          expect((await executable.read('a')).data[0]).toBe(a);
          expect((await executable.read('b')).data[0]).toBe(b);
        }
      }));

    it('can be written, views too, and what is read is a copy', () =>
      using(exchange, {}, async (executable) => {
        const view = f32([1, 9, 2, 9, 3, 9]).step(2);
        await executable.write('a', view);
        view.data.fill(0);
        const copy = await executable.read('a');
        expect(copy.data).toEqual(Float32Array.of(1, 2, 3));
        copy.data.fill(7);
        expect((await executable.read('a')).data).toEqual(Float32Array.of(1, 2, 3));
        expect((await executable.run()).before!.data).toEqual(Float32Array.of(1, 2, 3));
      }));

    it('are kept even where the graph never reads them', () =>
      using(
        trace((t) => {
          for (const name of ['spare', 'empty', 'log']) t.state(name, [2]);
          const x = t.input('x', [2]);
          return { outputs: { x }, updates: { log: x.add(1) } };
        }),
        { state: { spare: f32([4, 5]) } },
        async (executable) => {
          await executable.run({ x: f32([1, 2]) });
          expect((await executable.read('spare')).data).toEqual(Float32Array.of(4, 5));
          expect((await executable.read('empty')).data).toEqual(Float32Array.of(0, 0));
          expect((await executable.read('log')).data).toEqual(Float32Array.of(2, 3));
          await executable.write('spare', f32([6, 7]));
          expect((await executable.read('spare')).data).toEqual(Float32Array.of(6, 7));
          await executable.run({ x: f32([3, 4]) });
          expect((await executable.read('log')).data).toEqual(Float32Array.of(4, 5));
        },
      ));

    it('are unharmed by a run that fails', () =>
      using(
        trace((t) => {
          const s = t.state('s', [2]);
          return { outputs: { s }, updates: { s: s.add(t.input('x', [2])) } };
        }),
        { state: { s: f32([1, 2]) } },
        async (executable) => {
          await expect(executable.run({})).rejects.toThrow(UserError);
          expect((await executable.read('s')).data).toEqual(Float32Array.of(1, 2));
        },
      ));

    it('of other names or shapes are refused', () =>
      using(exchange, {}, async (executable) => {
        await expect(executable.run({ a: f32([1, 2, 3]) })).rejects.toThrow(UserError);
        await expect(executable.read('c')).rejects.toThrow(/no state called c/);
        await expect(executable.write('c', f32([1, 2, 3]))).rejects.toThrow(UserError);
        await expect(executable.write('a', f32([1]))).rejects.toThrow(/a.*\[3\].*\[1\]/);
        await expect(backend.compile(exchange, { state: { a: f32([1]) } })).rejects.toThrow(
          UserError,
        );
      }));
  });

  describe('weights', () => {
    const graph = trace((t) => ({ outputs: { w: t.weight('layer.weight', [2, 2]).mul(1) } }));
    const weight = (dtype: StorageType, bytes: Uint8Array, shape = [2, 2]): Weight => ({
      dtype,
      shape,
      read: () => bytes,
    });
    const bytesOf = (array: { buffer: ArrayBuffer }) => new Uint8Array(array.buffer);

    it.each<[StorageType, Uint8Array<ArrayBuffer>]>([
      ['f64', bytesOf(Float64Array.of(1, -2, 0.5, 3))],
      ['f32', bytesOf(Float32Array.of(1, -2, 0.5, 3))],
      ['f16', bytesOf(Uint16Array.of(0x3c00, 0xc000, 0x3800, 0x4200))],
      ['bf16', bytesOf(Uint16Array.of(0x3f80, 0xc000, 0x3f00, 0x4040))],
    ])('stored as %s are widened', (dtype, bytes) =>
      using(
        graph,
        { weights: new Map([['layer.weight', weight(dtype, bytes)]]) },
        async (executable) => {
          expect((await executable.run()).w!.data).toEqual(Float32Array.of(1, -2, 0.5, 3));
        },
      ),
    );

    it('that are missing, or have another shape or too few bytes, are refused by name', async () => {
      const all = bytesOf(Float32Array.of(1, 2, 3, 4));
      const near = new Map([['layer.weigth', weight('f32', all)]]);
      const refused = async (weights: Map<string, Weight>, message: RegExp) => {
        await expect(backend.compile(graph, { weights })).rejects.toThrow(UserError);
        await expect(backend.compile(graph, { weights })).rejects.toThrow(message);
      };
      await refused(new Map(), /layer\.weight/);
      await refused(near, /layer\.weight/);
      await refused(new Map([['layer.weight', weight('f32', all, [4, 1])]]), /layer\.weight/);
      await refused(new Map([['layer.weight', weight('f32', all.slice(0, 12))]]), /12 bytes.* 16/);
    });
  });

  it('can be compiled and let go of many times', async () => {
    const graph = trace((t) => ({ outputs: { y: t.input('x', [2]).add(1) } }));
    for (let i = 0; i < 5; i++)
      await using(graph, {}, async (executable) => {
        expect((await executable.run({ x: f32([i, 0]) })).y!.data[0]).toBe(i + 1);
      });
  });

  it('computes several graphs at a time', async () => {
    const graphs = [1, 2, 3].map((n) =>
      trace((t) => ({
        outputs: {
          y: t
            .input('x', [50, 50])
            .matmul(t.input('z', [50, 50]))
            .add(n),
        },
      })),
    );
    const compiled = await Promise.all(graphs.map((graph) => backend.compile(graph)));
    const x = draws(0).normal('x', 0, [50, 50]);
    const eye = f32(
      Array.from({ length: 2500 }, (_, i) => Number(i % 51 === 0)),
      [50, 50],
    );
    const results = await Promise.all(compiled.map((e) => e.run({ x, z: eye })));
    results.forEach(({ y }, i) => {
      expect(y!.data[7]).toBeCloseTo(x.data[7]! + i + 1, 5);
    });
    await Promise.all(compiled.map((e) => e.dispose()));
  });

  const table = f32([1, 2, 3, 4, 5, 6], [3, 2]);
  it.for([3, -1, 1_000_000])('says of %d that it is no row, and whose', (row) =>
    using(
      trace((t) => ({
        outputs: {
          y: t.at('text_model.embeddings', () =>
            t.input('table', [3, 2]).gather(t.input('ids', [2], 'i32').reshape([2, 1])),
          ),
        },
      })),
      {},
      async (executable) => {
        await expect(executable.run({ table, ids: i32([0, row]) })).rejects.toThrow(
          `gather in text_model.embeddings: index ${row}, of input ids, is not among the 3 rows of the table`,
        );
        expect([...(await executable.run({ table, ids: i32([0, 2]) }))['y']!.data]).toEqual([
          1, 2, 5, 6,
        ]);
      },
    ),
  );

  const computed = (op: 'gather' | 'scatterAdd') =>
    trace((t) => {
      const ids = t.input('ids', [2], 'i32').sub(1);
      return {
        outputs: {
          y: t.at('text_model.embeddings', () =>
            op === 'gather'
              ? t.input('table', [3, 2]).gather(ids)
              : apply('scatterAdd', [t.input('table', [3, 2]).slice(0, 0, 2), ids], {
                  rows: 3,
                }),
          ),
        },
      };
    });
  it.for([
    ['gather', 0, -1],
    ['gather', 4, 3],
    ['scatterAdd', 0, -1],
    ['scatterAdd', 4, 3],
  ] as const)('%s: the same of what it computes from %d', ([op, id, row]) =>
    using(computed(op), {}, async (executable) => {
      await expect(executable.run({ table, ids: i32([1, id]) })).rejects.toThrow(
        `${op} in text_model.embeddings: index ${row} is not among the 3 rows of the table`,
      );
      const { y } = await executable.run({ table, ids: i32([1, 3]) });
      expect([...y!.data]).toEqual(op === 'gather' ? [1, 2, 5, 6] : [1, 2, 0, 0, 3, 4]);
    }),
  );
});

describe('null', () => {
  const graph = trace((t) => {
    const s = t.state('s', [4]);
    return {
      outputs: { y: t.input('x', [4]).add(t.weight('w', [4])) },
      updates: { s: s.mul(2) },
    };
  });

  it('plans, and computes nothing', async () => {
    const executable = await nullBackend.compile(graph);
    expect(executable.memory).toMatchObject({ weights: 20, state: 16 });
    await expect(executable.run({ x: f32([1, 2, 3, 4]) })).rejects.toThrow(/only plans/);
    await expect(executable.run()).rejects.toThrow(UserError);
    await expect(executable.read('s')).rejects.toThrow(UserError);
    await expect(executable.write('s', f32([1, 2, 3, 4]))).rejects.toThrow(UserError);
    await executable.dispose();
  });

  it('checks the weights that it is given, without reading them', async () => {
    const unread: Weight = {
      dtype: 'f32',
      shape: [4],
      read: () => {
        throw new Error('read');
      },
    };
    await nullBackend.compile(graph, { weights: new Map([['w', unread]]) });
    await expect(nullBackend.compile(graph, { weights: new Map() })).rejects.toThrow(
      'no weight w [4]',
    );
    const wrong = new Map([['w', { ...unread, shape: [5] }]]);
    await expect(nullBackend.compile(graph, { weights: wrong })).rejects.toThrow(
      'the weight w is [5], the graph needs [4]',
    );
    await expect(nullBackend.compile(graph, { state: { s: f32([1]) } })).rejects.toThrow('state s');
  });
});
