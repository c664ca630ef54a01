import { describe, expect, test } from 'vitest';
import { weightOf } from '../../src/checkpoint/byteSource.ts';
import {
  castWeight,
  countNonFinite,
  findNonFinite,
  fromFloat32,
  readFloat32,
  toFloat32,
} from '../../src/checkpoint/floats.ts';
import { openTorch } from '../../src/node/torchFile.ts';
import type { Weight } from '@sdft/tensor';
import { fixture, floats, userError } from './support.ts';

describe('conversions', () => {
  test('every type that PyTorch wrote becomes the same numbers', async () => {
    const { value } = await openTorch(fixture('dtypes.pt'));
    const tensors = value as Map<string, Weight>;
    const wide = readFloat32(tensors.get('f64')!);
    const exact = new Float64Array(tensors.get('f64')!.read().slice().buffer);
    expect([...wide]).toEqual([...exact].map(Math.fround));
    for (const [name, bytes, read] of [
      ['i64', 8, (v: DataView, at: number) => Number(v.getBigInt64(at, true))],
      ['i32', 4, (v: DataView, at: number) => v.getInt32(at, true)],
      ['i16', 2, (v: DataView, at: number) => v.getInt16(at, true)],
      ['i8', 1, (v: DataView, at: number) => v.getInt8(at)],
      ['u8', 1, (v: DataView, at: number) => v.getUint8(at)],
      ['bool', 1, (v: DataView, at: number) => v.getUint8(at)],
    ] as const) {
      const raw = tensors.get(name)!.read();
      const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
      expect([...readFloat32(tensors.get(name)!)], name).toEqual(
        Array.from({ length: 15 }, (_, i) => read(view, i * bytes)),
      );
    }
  });

  test('half precision: published patterns', () => {
    const patterns: [number, number][] = [
      [0x0000, 0],
      [0x3c00, 1],
      [0xc000, -2],
      [0x7bff, 65504],
      [0x0001, 2 ** -24],
      [0x0400, 2 ** -14],
      [0x3555, 0.333251953125],
      [0x7c00, Infinity],
    ];
    const bytes = new Uint8Array(Uint16Array.from(patterns, ([bits]) => bits).buffer);
    expect([...toFloat32(bytes, 'f16')]).toEqual(patterns.map(([, value]) => value));
    expect([
      ...new Uint16Array(
        fromFloat32(
          Float32Array.from(patterns, ([, value]) => value),
          'f16',
        ).buffer,
      ),
    ]).toEqual(patterns.map(([bits]) => bits));
  });

  test('bfloat16: rounds to nearest, ties to even, keeps NaN and the sign of zero', () => {
    const words = Uint32Array.of(
      0x3f800000,
      0x3f808000,
      0x3f818000,
      0x3f808001,
      0x3f807fff,
      0x80000000,
      0x7f7fffff,
      0x7f800001,
      0xff800000,
    );
    const halves = new Uint16Array(fromFloat32(new Float32Array(words.buffer), 'bf16').buffer);
    expect([...halves].map((h) => h.toString(16))).toEqual([
      '3f80',
      '3f80',
      '3f82',
      '3f81',
      '3f80',
      '8000',
      '7f80',
      '7fc0',
      'ff80',
    ]);
    expect([...toFloat32(Uint8Array.of(0x80, 0x3f, 0x20, 0xc1), 'bf16')]).toEqual([1, -10]);
  });

  test('bytes at an odd place', () => {
    const bytes = new Uint8Array(9);
    bytes.set(new Uint8Array(Float32Array.of(1.5, -2).buffer), 1);
    expect([...toFloat32(bytes.subarray(1), 'f32')]).toEqual([1.5, -2]);
    expect(countNonFinite(bytes.subarray(1), 'f32')).toBe(0);
    expect([...toFloat32(Buffer.from(bytes.buffer, 1), 'f32')]).toEqual([1.5, -2]);
  });

  test('a cast reads nothing until it is read, and says where a number does not fit', async () => {
    const weight = floats([3], [1, 65504, -1]);
    expect(castWeight(weight, 'f32', 'w')).toBe(weight);
    expect(castWeight(weight, 'f16', 'w').read().length).toBe(6);
    expect(
      await userError(() => castWeight(floats([1], [70000]), 'f16', 'unet.conv_in.weight').read()),
    ).toContain('unet.conv_in.weight: holds numbers beyond 65504');
    expect(readFloat32(castWeight(floats([1], [Infinity]), 'f16', 'w'))[0]).toBe(Infinity);
  });
});

test('findNonFinite names the tensors and counts', () => {
  const half = weightOf('f16', [3], Uint8Array.of(0, 0x7c, 0, 0xfe, 0xff, 0x7b));
  const double = weightOf('f64', [2], new Uint8Array(Float64Array.of(NaN, 1).buffer));
  const brain = weightOf('bf16', [2], Uint8Array.of(0x80, 0x7f, 0x7f, 0x7f));
  expect(
    findNonFinite([
      ['good', floats([2], [1, 3e38])],
      ['nan', floats([3], [1, NaN, Infinity])],
      ['half', half],
      ['double', double],
      ['brain', brain],
      ['ids', weightOf('i64', [1], new Uint8Array(8).fill(255))],
    ]),
  ).toEqual([
    { name: 'nan', count: 2 },
    { name: 'half', count: 2 },
    { name: 'double', count: 1 },
    { name: 'brain', count: 1 },
  ]);
});
