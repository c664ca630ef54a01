import { describe, expect, it } from 'vitest';
import { sizeOf } from '../src/index.ts';
import type { Resolution } from '../src/index.ts';
import { coverOf } from '../src/resolution.ts';

describe('sizeOf', () => {
  it('reads a square and WIDTHxHEIGHT', () => {
    expect(sizeOf(512)).toEqual({ width: 512, height: 512 });
    expect(sizeOf('512x768')).toEqual({ width: 512, height: 768 });
  });
  it.each([0, 7, 512.5, Number.NaN, 5000, -64])('refuses %d', (value) => {
    expect(() => sizeOf(value)).toThrow(
      'the resolution must be a whole number of pixels from 8 to 4096',
    );
  });
  it.each(['x', '512x', '5e2x512', '512x768x3'])('refuses %s', (value) => {
    expect(() => sizeOf(value as Resolution)).toThrow('or WIDTHxHEIGHT such as 512x768');
  });
});

describe('coverOf', () => {
  const cover = (w: number, h: number, W: number, H: number) =>
    coverOf({ width: w, height: h }, { width: W, height: H });

  it('scales the shortest side and rounds the other down, as torchvision does', () => {
    expect(cover(640, 427, 64, 64)).toEqual({
      scaled: { width: 95, height: 64 },
      left: 16,
      top: 0,
    });
    expect(cover(427, 640, 64, 64)).toEqual({
      scaled: { width: 64, height: 95 },
      left: 0,
      top: 16,
    });
  });

  it('rounds half an offset to the even number, as Python does', () => {
    expect(cover(65, 64, 64, 64).left).toBe(0);
    expect(cover(67, 64, 64, 64).left).toBe(2);
  });

  it('covers any wanted shape', () => {
    for (const [w, h] of [
      [100, 100],
      [31, 77],
      [4000, 3000],
      [9, 8],
    ] as const) {
      for (const [W, H] of [
        [64, 96],
        [512, 512],
        [8, 160],
      ] as const) {
        const { scaled, left, top } = cover(w, h, W, H);
        expect(scaled.width >= left + W && scaled.height >= top + H).toBe(true);
        expect(scaled.width === W || scaled.height === H).toBe(true);
      }
    }
  });
});
