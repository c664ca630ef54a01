import { describe, expect, it } from 'vitest';
import { draws, UserError } from '../../src/index.ts';
import { fnv1a } from '../../src/random/draws.ts';
import { philox } from '../../src/random/philox.ts';

const mean = (xs: ArrayLike<number>): number =>
  Array.from(xs).reduce((sum, x) => sum + x, 0) / xs.length;

describe('the stream', () => {
  it('hashes names with 64-bit FNV-1a', () => {
    // Vectors of the FNV authors' test suite.
    expect(fnv1a('')).toBe(0xcbf29ce484222325n);
    expect(fnv1a('a')).toBe(0xaf63dc4c8601ec8cn);
    expect(fnv1a('foobar')).toBe(0x85944171f73967e8n);
  });

  it('is keyed by the seed and counts (block, step, hash of the name)', () => {
    const hash = fnv1a('timesteps');
    const seed = 0x0123456789abcdefn;
    const block = (b: number) =>
      philox([b, 7, Number(hash & 0xffffffffn), Number(hash >> 32n)], [0x89abcdef, 0x01234567]);
    const { data } = draws(seed).uniform('timesteps', 7, [6]);
    const expected = [...block(0), ...block(1)].slice(0, 6).map((w) => (w >>> 8) / 2 ** 24);
    expect([...data]).toEqual(expected);
  });

  it('makes normals of Box and Muller from 53-bit numbers', () => {
    const hash = fnv1a('noise');
    const [a, b, c, d] = philox([0, 3, Number(hash & 0xffffffffn), Number(hash >> 32n)], [42, 0]);
    const u = ((a >>> 5) * 2 ** 26 + (b >>> 6)) / 2 ** 53;
    const v = ((c >>> 5) * 2 ** 26 + (d >>> 6)) / 2 ** 53;
    const r = Math.sqrt(-2 * Math.log(1 - u));
    const { data } = draws(42).normal('noise', 3, [2]);
    expect(data[0]).toBe(Math.fround(r * Math.cos(2 * Math.PI * v)));
    expect(data[1]).toBe(Math.fround(r * Math.sin(2 * Math.PI * v)));
  });

  it('stays what it is: three numbers of each kind, written down', () => {
    const d = draws(1);
    expect([...d.normal('noise', 0, [3]).data]).toMatchInlineSnapshot(`
      [
        -1.1544502973556519,
        0.37872323393821716,
        0.8912238478660583,
      ]
    `);
    expect([...d.uniform('noise', 0, [3]).data]).toMatchInlineSnapshot(`
      [
        0.5219755172729492,
        0.7961662411689758,
        0.44954901933670044,
      ]
    `);
    expect([...d.integers('noise', 0, [3], 1000).data]).toMatchInlineSnapshot(`
      [
        794,
        42,
        507,
      ]
    `);
  });

  it('depends on seed, name and step, and on nothing else', () => {
    const first = (seed: number | bigint, name: string, step: number) =>
      draws(seed).normal(name, step, [4]).data;
    const base = first(1, 'noise', 0);
    for (const other of [
      first(2, 'noise', 0),
      first(1n << 32n, 'noise', 0),
      first(1, 'noises', 0),
      first(1, 'noise', 1),
    ])
      expect(other).not.toEqual(base);
    const d = draws(1);
    d.normal('something else', 0, [100]);
    expect(d.normal('noise', 0, [4]).data).toEqual(base);
    expect(d.normal('noise', 0, [2, 5]).data.slice(0, 4)).toEqual(base);
    expect(draws(-1).normal('noise', 0, [4]).data).toEqual(
      draws(0xffffffffffffffffn).normal('noise', 0, [4]).data,
    );
  });
});

describe('statistics', () => {
  const n = 200_000;

  it('normals have the moments and the tails of the normal distribution', () => {
    const { data } = draws(5).normal('noise', 1, [n]);
    const moment = (k: number) => mean(data.map((x) => x ** k));
    // Five standard errors each: sqrt(1/n), sqrt(2/n), sqrt(15/n), sqrt(96/n).
    expect(Math.abs(moment(1))).toBeLessThan(5 * Math.sqrt(1 / n));
    expect(Math.abs(moment(2) - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    expect(Math.abs(moment(3))).toBeLessThan(5 * Math.sqrt(15 / n));
    expect(Math.abs(moment(4) - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
    const beyond2 = mean(data.map((x) => Number(Math.abs(x) > 2)));
    expect(Math.abs(beyond2 - 0.04550026)).toBeLessThan(5 * Math.sqrt(0.0455 / n));
    // The two halves of a pair, and neighbouring steps, are uncorrelated.
    const next = draws(5).normal('noise', 2, [n]).data;
    expect(Math.abs(mean(data.map((x, i) => x * next[i]!)))).toBeLessThan(5 / Math.sqrt(n));
    expect(
      Math.abs(mean(data.filter((_, i) => i % 2 === 0).map((x, i) => x * data[2 * i + 1]!))),
    ).toBeLessThan(5 / Math.sqrt(n / 2));
  });

  it('uniforms fill [0, 1) evenly', () => {
    const { data } = draws(6).uniform('crop', 0, [n]);
    const bins = new Array<number>(64).fill(0);
    for (const x of data) bins[Math.floor(x * 64)]!++;
    expect(chiSquared(bins)).toBeLessThan(63 + 5 * Math.sqrt(126));
    expect(Math.max(...data.subarray(0, 10_000))).toBeLessThan(1);
    expect(Math.min(...data.subarray(0, 10_000))).toBeGreaterThanOrEqual(0);
  });

  it.each([1000, 7, 3 * 2 ** 29])('integers below %i are equally likely', (below) => {
    const { data } = draws(7).integers('timesteps', 0, [n], below);
    const count = Math.min(below, 1000);
    const bins = new Array<number>(count).fill(0);
    for (const x of data) bins[Math.floor((x / below) * count)]!++;
    expect(chiSquared(bins)).toBeLessThan(count - 1 + 5 * Math.sqrt(2 * count));
    // 3 * 2^29 does not divide 2^32: a plain remainder would take the first third twice as often.
    expect(Math.abs(mean(data) / below - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / n) + 1 / below);
  });

  function chiSquared(bins: readonly number[]): number {
    const expected = bins.reduce((a, b) => a + b) / bins.length;
    return bins.reduce((sum, b) => sum + (b - expected) ** 2 / expected, 0);
  }
});

describe('shapes and mistakes', () => {
  it('gives ndarrays of the shape asked for', () => {
    const x = draws(0).normal('x', 0, [2, 3]);
    expect(x.shape).toEqual([2, 3]);
    expect(x.get(1, 2)).toBe(x.data[5]);
    expect(draws(0).integers('t', 0, [], 10).data).toHaveLength(1);
    expect(draws(0).integers('t', 0, [3], 1).data).toEqual(new Int32Array(3));
  });

  it('refuses seeds, steps and bounds that are none', () => {
    expect(() => draws(0.5)).toThrow(UserError);
    expect(() => draws(1n << 64n)).toThrow('at most 64 bits');
    expect(() => draws(0).normal('noise', -1, [1])).toThrow('random draw noise: the step');
    expect(() => draws(0).integers('t', 0, [2], 0)).toThrow('random integers t [2]');
  });
});
