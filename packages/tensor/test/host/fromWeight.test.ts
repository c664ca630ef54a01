import { describe, expect, it } from 'vitest';
import { widen } from '../../src/host/fromWeight.ts';
import { type StorageType, UserError } from '../../src/index.ts';

const widened = (dtype: StorageType, bytes: Uint8Array, count: number) =>
  Array.from(widen({ dtype, shape: [count], read: () => bytes }));
const bytesOf = (array: { buffer: ArrayBuffer; byteLength: number }) =>
  new Uint8Array(array.buffer);

describe('widening', () => {
  it('of f16: normal, subnormal, largest, infinite, NaN', () => {
    const bits = Uint16Array.of(0x3c00, 0xc500, 0x0001, 0x03ff, 0x7bff, 0x7c00, 0xfc00, 0x8000);
    expect(widened('f16', bytesOf(bits), 8)).toEqual([
      1,
      -5,
      2 ** -24,
      1023 * 2 ** -24,
      65504,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      -0,
    ]);
    expect(widened('f16', bytesOf(Uint16Array.of(0x7e01)), 1)).toEqual([Number.NaN]);
  });

  it('of bf16: the upper half of f32', () => {
    const bits = Uint16Array.of(0x3f80, 0xc0a0, 0x0001, 0x7f80, 0x4049);
    expect(widened('bf16', bytesOf(bits), 5)).toEqual([
      1,
      -5,
      2 ** -133,
      Number.POSITIVE_INFINITY,
      3.140625,
    ]);
    expect(widened('bf16', bytesOf(Uint16Array.of(0x7fc0)), 1)).toEqual([Number.NaN]);
  });

  it('of f64, rounded to nearest', () => {
    expect(widened('f64', bytesOf(Float64Array.of(0.1, 1e300, -3)), 3)).toEqual([
      Math.fround(0.1),
      Number.POSITIVE_INFINITY,
      -3,
    ]);
  });

  it.each<[StorageType, Uint8Array, number[]]>([
    ['i64', bytesOf(BigInt64Array.of(-1n, 77n, 2n ** 53n)), [-1, 77, 2 ** 53]],
    ['i32', bytesOf(Int32Array.of(-1, 2 ** 24)), [-1, 2 ** 24]],
    ['i16', bytesOf(Int16Array.of(-32768, 5)), [-32768, 5]],
    ['i8', bytesOf(Int8Array.of(-128, 127)), [-128, 127]],
    ['u8', Uint8Array.of(0, 255), [0, 255]],
    ['bool', Uint8Array.of(0, 1), [0, 1]],
  ])('of %s', (dtype, bytes, values) => {
    expect(widened(dtype, bytes, values.length)).toEqual(values);
  });

  it('reads bytes that do not start at a multiple of their size', () => {
    const shifted = new Uint8Array(9).subarray(1);
    shifted.set(bytesOf(Float32Array.of(1.5, -2)));
    expect(widened('f32', shifted, 2)).toEqual([1.5, -2]);
  });

  it('refuses too few or too many bytes', () => {
    expect(() => widened('f16', new Uint8Array(5), 2)).toThrow(UserError);
    expect(() => widened('f16', new Uint8Array(5), 2)).toThrow('holds 5 bytes; it needs 4');
  });
});
