import { UserError, type Weight } from '@sdft/tensor';
import { elementCount } from './storageType.ts';

/**
 * Random weights of the given shapes, f32, made each time they are read: the same seed and path give the same numbers on every machine.
 *
 * Layers start as PyTorch's do (uniform within 1/sqrt(fan in), He et al. 2015), so that activations stay finite; embeddings have CLIP's deviations
 * (0.02 tokens, 0.01 positions); norms are 1; biases 0.
 *
 * @param seed an integer from 0 to 2^32 - 1
 * @throws UserError for another seed
 */
export function randomWeights(
  shapes: ReadonlyMap<string, readonly number[]>,
  seed: number,
): Map<string, Weight> {
  if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32)
    throw new UserError(`the seed must be an integer from 0 to 4294967295, got ${seed}`);
  return new Map(
    Array.from(shapes, ([path, shape]) => [
      path,
      Object.freeze({
        dtype: 'f32' as const,
        shape: Object.freeze([...shape]),
        read: () => new Uint8Array(valuesOf(path, shape, seed).buffer),
      }),
    ]),
  );
}

function valuesOf(path: string, shape: readonly number[], seed: number): Float32Array {
  const values = new Float32Array(elementCount(shape));
  if (path.endsWith('.bias')) return values;
  if (shape.length === 1) return values.fill(1);
  const bound = boundOf(path, shape);
  const next = wordsOf(seed, path);
  for (let i = 0; i < values.length; i++) values[i] = bound * (next() / 2 ** 31 - 1);
  return values;
}

function boundOf(path: string, shape: readonly number[]): number {
  // A uniform distribution of half-width b has the standard deviation b / sqrt(3).
  if (path.endsWith('.token_embedding.weight')) return 0.02 * Math.sqrt(3);
  if (path.endsWith('.position_embedding.weight')) return 0.01 * Math.sqrt(3);
  return 1 / Math.sqrt(elementCount(shape.slice(1)));
}

/**
 * Random words 0 to 2^32 - 1. Not the engine's Philox, which is made for small draws: SD1.5 takes a thousand million words.
 * Source: Doty-Humphrey, PractRand, sfc32.
 */
function wordsOf(seed: number, path: string): () => number {
  let a = seed | 0;
  let b = 0x9e3779b9 | 0;
  let c = 0x811c9dc5 | 0;
  for (let i = 0; i < path.length; i++) c = Math.imul(c ^ path.charCodeAt(i), 0x01000193);
  let counter = 1;
  const next = (): number => {
    const word = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + word) | 0;
    return word >>> 0;
  };
  for (let i = 0; i < 16; i++) next();
  return next;
}
