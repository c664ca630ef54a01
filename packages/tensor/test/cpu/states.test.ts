import { describe, expect, it } from 'vitest';
import type { Executable } from '../../src/backend.ts';
import { grad, reference, trace, UserError } from '../../src/index.ts';
import { cpu } from '../../src/node/index.ts';
import { drawn, expectNear, f32, type Results } from './support/compute.ts';

const backend = cpu({ threads: 1 });
const using = async <T>(
  executable: Promise<Executable>,
  body: (executable: Executable) => Promise<T>,
): Promise<T> => {
  const opened = await executable;
  try {
    return await body(opened);
  } finally {
    await opened.dispose();
  }
};

describe('a state that others are still read by keeps its old value until all have been', () => {
  // Each gradient reads the other's old value, and nothing (a clipped norm, a sum) ties the two updates together.
  const coupled = trace((t) => {
    const x = t.input('x', [6, 5]);
    const first = t.state('first', [5, 7]);
    const second = t.state('second', [7, 5]);
    const loss = x.matmul(first).sin().matmul(second).sub(x).square().mean();
    const [g1, g2] = grad(loss, [first, second]);
    return {
      outputs: { loss, before: first },
      updates: { first: first.sub(g1!.mul(0.3)), second: second.sub(g2!.mul(0.3)) },
    };
  });
  // The least that goes wrong if one is written over the other.
  const knotted = trace((t) => {
    const a = t.state('a', [3]);
    const b = t.state('b', [3]);
    const c = t.state('c', [3]);
    return {
      outputs: { a, product: a.mul(b).mul(c) },
      updates: { a: b.mul(c), b: a.add(c), c: a.sub(b) },
    };
  });
  it.for([
    { name: 'two layers, gradient descent', graph: coupled },
    { name: 'three states made of each other', graph: knotted },
  ])('$name', async ({ graph }) => {
    const { inputs, ...options } = drawn(graph);
    await using(reference.compile(graph, options), (slow) =>
      using(backend.compile(graph, options), async (fast) => {
        for (let step = 0; step < 6; step++) {
          expectNear(await fast.run(inputs), await slow.run(inputs), 50);
          for (const name of Object.keys(graph.updates))
            expectNear({ [name]: await fast.read(name) }, { [name]: await slow.read(name) }, 50);
        }
      }),
    );
  });
});

describe('states that are more than read and updated', () => {
  const graph = trace((t) => {
    const [a, b, c] = [t.state('a', [2]), t.state('b', [2]), t.state('c', [2])];
    t.state('unread', [3]);
    t.state('overwritten', [2]);
    t.state('emptied', [2]);
    const x = t.input('x', [2]);
    const sum = a.add(x);
    return {
      outputs: { a, again: a, sum, twice: sum },
      updates: {
        // Two change places, one stays; two get the same, a result; others what nothing computes.
        a: b,
        b: a,
        c,
        overwritten: x,
        emptied: t.constant([0, 7]),
      },
    };
  });

  it('move on as they should', () =>
    using(
      backend.compile(graph, {
        state: { a: f32([1, 2]), b: f32([3, 4]), c: f32([5, 6]), unread: f32([7, 8, 9]) },
      }),
      async (executable) => {
        const now = async (): Promise<Record<string, number[]>> => {
          const names = ['a', 'b', 'c', 'unread', 'overwritten', 'emptied'];
          const values = await Promise.all(names.map((name) => executable.read(name)));
          return Object.fromEntries(names.map((name, i) => [name, [...values[i]!.data]]));
        };
        expect(await now()).toMatchObject({ overwritten: [0, 0], emptied: [0, 0] });
        const results = await executable.run({ x: f32([10, 20]) });
        expect(results.a!.data).toEqual(Float32Array.of(1, 2));
        expect(results.again!.data).toEqual(Float32Array.of(1, 2));
        expect(results.sum!.data).toEqual(Float32Array.of(11, 22));
        expect(results.twice!.data).toEqual(Float32Array.of(11, 22));
        const rest = { c: [5, 6], unread: [7, 8, 9], emptied: [0, 7] };
        expect(await now()).toEqual({ a: [3, 4], b: [1, 2], overwritten: [10, 20], ...rest });
        await executable.write('unread', f32([1, 1, 1]));
        await executable.run({ x: f32([30, 40]) });
        expect(await now()).toEqual({
          a: [1, 2],
          b: [3, 4],
          overwritten: [30, 40],
          ...rest,
          unread: [1, 1, 1],
        });
        // What a run gave stays as it was.
        expect(results.a!.data).toEqual(Float32Array.of(1, 2));
      },
    ));

  it('may all be updated to one value', () =>
    using(
      backend.compile(
        trace((t) => {
          const next = t.state('a', [2]).add(t.state('b', [2]));
          return { outputs: { next }, updates: { a: next, b: next } };
        }),
        { state: { a: f32([1, 2]), b: f32([3, 4]) } },
      ),
      async (executable) => {
        for (const want of [4, 8, 16]) {
          expect((await executable.run()).next!.data[0]).toBe(want);
          expect((await executable.read('a')).data[0]).toBe(want);
          expect((await executable.read('b')).data[0]).toBe(want);
        }
      },
    ));
});

describe('large states', () => {
  const graph = trace((t) => {
    const frozen = t.state('frozen', [2]);
    const moving = t.state('moving', [2]);
    return { outputs: { sum: frozen.add(moving) }, updates: { moving: moving.add(1) } };
  });

  it('get their first values one after the other, each asked for once', () => {
    const asked: string[] = [];
    const first = (name: string, values: number[]) => () => {
      asked.push(name);
      return f32(values);
    };
    const state = { moving: first('moving', [1, 2]), frozen: first('frozen', [10, 20]) };
    return using(backend.compile(graph, { state }), async (executable) => {
      expect(asked).toEqual(['moving', 'frozen']);
      expect((await executable.run()).sum!.data).toEqual(Float32Array.of(11, 22));
      expect(asked).toEqual(['moving', 'frozen']);
    });
  });

  it('are refused where they do not fit, also when they come late', async () => {
    await expect(
      backend.compile(graph, { state: { frozen: () => f32([1, 2, 3]) } }),
    ).rejects.toThrow('state frozen must have the shape [2], got [3]');
    await expect(backend.compile(graph, { state: { frosen: () => f32([1]) } })).rejects.toThrow(
      'did you mean frozen?',
    );
  });

  it('can be seen where they lie, and read there by another graph', () =>
    using(backend.compile(graph), (one) =>
      using(backend.compile(graph), async (two) => {
        await one.write('frozen', f32([1, 2]));
        const view = await one.view('frozen');
        expect((await one.view('frozen')).data.buffer).toBe(view.data.buffer);
        await two.borrow('frozen', view);
        expect((await two.run()).sum!.data).toEqual(Float32Array.of(1, 2));
        await one.write('frozen', f32([5, 6]));
        expect((await two.run()).sum!.data).toEqual(Float32Array.of(6, 7));
        // What it writes itself is its own again.
        await two.write('frozen', f32([0, 0]));
        expect((await two.run()).sum!.data).toEqual(Float32Array.of(2, 2));
        expect((await one.read('frozen')).data).toEqual(Float32Array.of(5, 6));
      }),
    ));

  it('are copied where they would be written to, or lie elsewhere', () =>
    using(backend.compile(graph), (one) =>
      using(backend.compile(graph), async (two) => {
        await two.borrow('moving', await one.view('moving'));
        const elsewhere = f32([3, 4]);
        await two.borrow('frozen', elsewhere);
        elsewhere.data.fill(9);
        expect((await two.run()).sum!.data).toEqual(Float32Array.of(3, 4));
        expect((await two.read('moving')).data).toEqual(Float32Array.of(1, 1));
        expect((await one.read('moving')).data).toEqual(Float32Array.of(0, 0));
        await expect(two.borrow('frozen', f32([1]))).rejects.toThrow('must have the shape [2]');
        await expect(two.borrow('frosen', f32([1]))).rejects.toThrow('did you mean frozen?');
      }),
    ));
});

describe('calls that overlap', () => {
  const counter = trace((t) => {
    const total = t.state('total', [1000]);
    const x = t.input('x', [1000]);
    return { outputs: { x: x.mul(2), total }, updates: { total: total.add(x) } };
  });
  const filled = (value: number) => f32(new Array<number>(1000).fill(value));

  it('are answered one after the other, each with its own inputs', () =>
    using(backend.compile(counter), async (executable) => {
      const calls = Array.from({ length: 20 }, (_, i) => executable.run({ x: filled(i) }));
      const results: Results[] = await Promise.all(calls);
      let sum = 0;
      results.forEach(({ x, total }, i) => {
        expect(x!.data).toEqual(filled(2 * i).data);
        expect(total!.data).toEqual(filled(sum).data);
        sum += i;
      });
      expect((await executable.read('total')).data).toEqual(filled(sum).data);
    }));

  it('see what was written and run before them, and nothing of what came after', () =>
    using(backend.compile(counter), async (executable) => {
      const x = filled(1);
      const calls = [
        executable.run({ x }),
        executable.read('total'),
        executable.write('total', filled(100)),
        executable.run({ x }),
        executable.read('total'),
      ] as const;
      // The caller's array is free again as soon as the call is made.
      x.data.fill(9);
      const [, first, , , second] = await Promise.all(calls);
      expect(first.data).toEqual(filled(1).data);
      expect(second.data).toEqual(filled(101).data);
    }));

  it('do not suffer from one that is refused or fails', () =>
    using(backend.compile(counter), async (executable) => {
      const good = executable.run({ x: filled(1) });
      await expect(executable.run({ x: f32([1]) })).rejects.toThrow(/x.*\[1000\].*\[1\]/);
      await expect(executable.write('total', f32([1]))).rejects.toThrow(UserError);
      await good;
      await executable.run({ x: filled(1) });
      expect((await executable.read('total')).data).toEqual(filled(2).data);
    }));
});

describe('after dispose', () => {
  const graph = trace((t) => {
    const s = t.state('s', [2]);
    return { outputs: { s }, updates: { s: s.add(t.input('x', [2])) } };
  });
  const x = f32([1, 1]);

  it('calls made before still end well, all later ones are refused', async () => {
    const executable = await backend.compile(graph);
    const running = executable.run({ x });
    const reading = executable.read('s');
    const disposed = executable.dispose();
    await expect(executable.run({ x })).rejects.toThrow(UserError);
    await expect(executable.run({ x })).rejects.toThrow('this graph was disposed of');
    await expect(executable.read('s')).rejects.toThrow('this graph was disposed of');
    await expect(executable.write('s', x)).rejects.toThrow('this graph was disposed of');
    expect((await running).s!.data).toEqual(Float32Array.of(0, 0));
    expect((await reading).data).toEqual(Float32Array.of(1, 1));
    await disposed;
    await executable.dispose();
    await expect(executable.run({ x })).rejects.toThrow('this graph was disposed of');
  });

  it('other graphs of the backend go on', async () => {
    const [one, two] = await Promise.all([backend.compile(graph), backend.compile(graph)]);
    await one.dispose();
    await two.run({ x });
    expect((await two.read('s')).data).toEqual(Float32Array.of(1, 1));
    await two.dispose();
    await using(backend.compile(graph), async (three) => {
      await three.run({ x });
      expect((await three.read('s')).data).toEqual(Float32Array.of(1, 1));
    });
  });
});
