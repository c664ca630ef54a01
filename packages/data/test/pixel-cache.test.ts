import { describe, expect, it } from 'vitest';
import { pixelCache } from '../src/pixel-cache.ts';

function counted() {
  const asked: number[] = [];
  const decode = (index: number) => async () => {
    asked.push(index);
    return { data: Uint8Array.of(index, 0, 0, 0), width: 1, height: 1 };
  };
  return { asked, decode };
}

describe('pixelCache', () => {
  it('keeps within its budget; the one unused for longest goes first', async () => {
    const { asked, decode } = counted();
    const cache = pixelCache(8);
    for (const index of [0, 1, 0, 2, 0, 1]) {
      expect((await cache.get(index, decode(index))).data[0]).toBe(index);
    }
    expect(asked).toEqual([0, 1, 2, 1]);
  });

  it('keeps nothing that is larger than all of it', async () => {
    const { asked, decode } = counted();
    const cache = pixelCache(3);
    await cache.get(0, decode(0));
    await cache.get(0, decode(0));
    expect(asked).toEqual([0, 0]);
  });

  it('decodes once for callers at the same time, and tries again after a fault', async () => {
    const { asked, decode } = counted();
    const cache = pixelCache(100);
    await Promise.all([cache.get(5, decode(5)), cache.get(5, decode(5))]);
    expect(asked).toEqual([5]);
    const fail = () => Promise.reject(new Error('gone'));
    await expect(cache.get(6, fail)).rejects.toThrow('gone');
    expect((await cache.get(6, decode(6))).data[0]).toBe(6);
  });
});
