import ndarray from 'ndarray';
import { describe, expect, it } from 'vitest';
import type { HostArray } from '../../src/backend.ts';
import { copyInto, hostArray, hostData, hostDataOf } from '../../src/host/array.ts';
import { nearest } from '../../src/host/nearest.ts';
import { UserError } from '../../src/index.ts';

const counted = (shape: number[]) =>
  hostArray(
    Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, (_, i) => i),
    shape,
  );

describe('arrays', () => {
  it('are scijs ndarrays over the data given, row-major', () => {
    const data = Float32Array.of(1, 2, 3, 4, 5, 6);
    const array = hostArray(data, [2, 3]);
    expect(array.data).toBe(data);
    expect([array.get(0, 2), array.get(1, 0)]).toEqual([3, 4]);
    expect(array.stride).toEqual([3, 1]);
    expect(hostArray(Int32Array.of(7), []).get()).toBe(7);
  });

  // Every view is compared with what ndarray's own get() says.
  it.each<[string, HostArray]>([
    ['contiguous', counted([2, 3, 4])],
    ['transposed', counted([4, 3, 2]).transpose(2, 1, 0)],
    ['partly transposed', counted([2, 4, 3]).transpose(0, 2, 1)],
    ['strided', counted([4, 6, 8]).step(2, 2, 2)],
    ['reversed', counted([2, 3, 4]).step(-1, 1, -1)],
    ['cut out', counted([5, 5, 5]).lo(1, 2, 0).hi(2, 3, 4)],
    ['one row of many', counted([2, 9, 3, 4]).pick(null, 5, null, null)],
    [
      'repeated by a stride of 0',
      ndarray(Float32Array.of(1, 2, 3, 4), [2, 3, 4], [0, 0, 1]) as unknown as HostArray,
    ],
  ])('that are %s are read in order', (_, view) => {
    const expected: number[] = [];
    for (let i = 0; i < 2; i++)
      for (let j = 0; j < 3; j++) for (let k = 0; k < 4; k++) expected.push(view.get(i, j, k));
    const data = hostData(view, { shape: [2, 3, 4], dtype: 'f32' }, 'x');
    expect(Array.from(data)).toEqual(expected);
    expect(data.buffer).not.toBe(view.data.buffer);
  });

  it('of another shape or type are refused by name', () => {
    const into = () => copyInto(new Float32Array(6), [2, 3], counted([3, 2]), 'input noise');
    expect(into).toThrow(UserError);
    expect(into).toThrow('input noise must have the shape [2, 3], got [3, 2]');
    expect(() => copyInto(new Int32Array(2), [2], counted([2]), 'ids')).toThrow(
      'ids must hold its numbers in Int32Array, got Float32Array',
    );
  });

  it('for each type hold what the backends hold', () => {
    expect(hostDataOf({ shape: [2], dtype: 'f32' })).toEqual(new Float32Array(2));
    expect(hostDataOf({ shape: [], dtype: 'i32' })).toEqual(new Int32Array(1));
    expect(hostDataOf({ shape: [2, 2], dtype: 'bool' })).toEqual(new Uint8Array(4));
  });
});

describe('nearest', () => {
  it('finds the name that was probably meant', () => {
    expect(nearest('timestep', ['noise', 'timesteps', 'latents'])).toBe('timesteps');
    expect(nearest('abc', ['xyz', 'ab', 'abcdef'])).toBe('ab');
    expect(nearest('kitten', ['sitting', 'kitchen'])).toBe('kitchen');
    expect(nearest('a', [])).toBeUndefined();
  });
});
