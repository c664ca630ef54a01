/** @file Numbers that look random and that both sides can make: a hash of a tensor's name and of each element's place. */

/** FNV-1a, 32 bits. */
export function seedOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Uniform in [-scale, scale): two rounds of multiply and shift of `seed + place`, exact in 32-bit integers. */
export function hashed(name: string, count: number, scale: number): Float32Array<ArrayBuffer> {
  const seed = seedOf(name);
  const numbers = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let x = Math.imul((seed + i) | 0, 0x9e3779b1);
    x = Math.imul(x ^ (x >>> 15), 0x85ebca77);
    x ^= x >>> 13;
    numbers[i] = (x >> 8) * (scale / 2 ** 23);
  }
  return numbers;
}

/** A weight by its name: gains 1, biases 0, all else of the variance 1 / fan-in, so that a deep network neither dies nor explodes. */
export function weightOf(name: string, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const count = shape.reduce((product, length) => product * length, 1);
  if (shape.length === 1) return new Float32Array(count).fill(name.endsWith('.bias') ? 0 : 1);
  return hashed(name, count, Math.sqrt(3 / (count / shape[0]!)));
}
