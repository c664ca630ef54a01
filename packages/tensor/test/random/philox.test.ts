import { describe, expect, it } from 'vitest';
import { philox, type Words2, type Words4 } from '../../src/random/philox.ts';

const words = (hex: string): number[] => hex.split(' ').map((w) => Number.parseInt(w, 16));

describe('philox', () => {
  // The lines "philox4x32 10" of tests/kat_vectors in Random123 (github.com/DEShawResearch/random123): counter, key, result.
  it.each([
    [
      '00000000 00000000 00000000 00000000',
      '00000000 00000000',
      '6627e8d5 e169c58d bc57ac4c 9b00dbd8',
    ],
    [
      'ffffffff ffffffff ffffffff ffffffff',
      'ffffffff ffffffff',
      '408f276d 41c83b0e a20bc7c6 6d5451fd',
    ],
    [
      '243f6a88 85a308d3 13198a2e 03707344',
      'a4093822 299f31d0',
      'd16cfe09 94fdcceb 5001e420 24126ea1',
    ],
  ])('gives the published words for counter %s, key %s', (counter, key, result) => {
    expect(philox(words(counter) as unknown as Words4, words(key) as unknown as Words2)).toEqual(
      words(result),
    );
  });
});
