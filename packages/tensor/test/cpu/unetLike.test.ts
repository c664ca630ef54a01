import { describe, it } from 'vitest';
import { reference } from '../../src/index.ts';
import { type CpuOptions, cpu } from '../../src/node/index.ts';
import { train } from '../support/training.ts';
import { expectNear } from './support/compute.ts';
import { unetLike } from './support/unetLike.ts';

const STEPS = 3;

const variants: readonly CpuOptions[] = [
  { threads: 1 },
  { threads: 2, packBytes: 0, shares: 1 },
  { threads: 2, shares: 3 },
  { threads: 1, packBytes: 3000, chunkBytes: 500 },
  { threads: 1, session: { prepacking: false, memoryPattern: true, arena: false } },
];
const seeds = Array.from({ length: 5 }, (_, seed) => seed);

describe('networks made up at random learn as in the reference', () => {
  it.for(seeds)('seed %i', async (seed) => {
    const graph = unetLike(seed);
    const wanted = await train(reference, graph, STEPS);
    for (const options of variants) {
      const got = await train(cpu(options), graph, STEPS);
      // Some hundred operations deep, three steps after each other.
      wanted.forEach((want, step) => expectNear(got[step]!, want, 200));
    }
  });
});
