import { describe, expect, it } from 'vitest';
import { grad, hostArray, trace, UserError } from '../../src/index.ts';
import { physicalCores } from '../../src/node/cpu/cores.ts';
import { cpu } from '../../src/node/index.ts';

const list = (...numbers: number[]) => hostArray(Float32Array.from(numbers), [numbers.length]);

describe('a graph that is computed in shares', () => {
  /** Rows of a table by numbers that are computed from the input; a step against their mean. */
  const graph = trace((t) => {
    const rows = t.input('rows', [4]).cast('i32');
    const table = t.state('table', [3]);
    const found = table.gather(rows).square();
    const loss = found.mean();
    const [slope] = grad(loss, [table]);
    return { outputs: { found, loss }, updates: { table: table.sub(slope!) } };
  });
  const state = { table: list(1, 2, 3) };

  it('puts results together, adds sums up and moves its states on', async () => {
    const executable = await cpu({ threads: 2, shares: 4 }).compile(graph, { state });
    const { found, loss } = await executable.run({ rows: list(0, 1, 2, 0) });
    expect([...found!.data]).toEqual([1, 4, 9, 1]);
    expect([...loss!.data]).toEqual([15 / 4]);
    expect([...(await executable.read('table')).data]).toEqual([0, 1, 1.5]);
    await executable.run({ rows: list(2, 2, 2, 2) });
    expect([...(await executable.read('table')).data]).toEqual([0, 1, -1.5]);
    await executable.dispose();
  });

  it('says what fails in one of them, and goes on', async () => {
    const executable = await cpu({ threads: 2, shares: 2 }).compile(graph, { state });
    const run = executable.run({ rows: list(0, 1, 2, 7) });
    await expect(run).rejects.toThrow(/index 7 is not among the 3 rows/);
    await expect(run).rejects.toThrow(UserError);
    const { found } = await executable.run({ rows: list(0, 1, 2, 2) });
    expect([...found!.data]).toEqual([1, 4, 9, 9]);
    await executable.dispose();
    await executable.dispose();
    await expect(executable.run({ rows: list(0, 1, 2, 2) })).rejects.toThrow(/disposed/);
  });
});

describe('cores', () => {
  const block = (socket: number, core: number) =>
    `processor\t: 0\nphysical id\t: ${socket}\ncore id\t\t: ${core}\nflags\t\t: fma`;
  const info = [block(0, 0), block(0, 0), block(0, 1), block(1, 0)].join('\n\n');

  it('are counted once, however many threads each has', () => {
    expect(physicalCores(info, 4)).toBe(3);
  });
  it('are no more than this process may use', () => {
    expect(physicalCores(info, 2)).toBe(2);
  });
  it('are the logical ones where the machine does not say', () => {
    expect(physicalCores('flags : asimd', 5)).toBe(5);
  });
});
