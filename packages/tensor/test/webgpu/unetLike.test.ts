/** @file Training of whole networks: fused, in shared memory, with states in place, as the reference computes it. */
import { describe, it } from 'vitest';
import { reference } from '../../src/index.ts';
import { expectNear } from '../cpu/support/compute.ts';
import { train } from '../support/training.ts';
import { testedWebgpu } from '../support/webgpu.ts';
import { unetLike } from '../cpu/support/unetLike.ts';

const STEPS = 3;
const seeds = Array.from({ length: 2 }, (_, seed) => seed);
const backend = testedWebgpu();

describe('networks made up at random learn as in the reference', () => {
  it.for(seeds)('seed %i', async (seed) => {
    const graph = unetLike(seed);
    const wanted = await train(reference, graph, STEPS);
    const got = await train(backend, graph, STEPS);
    // Some hundred operations deep, three steps after each other.
    wanted.forEach((want, step) => expectNear(got[step]!, want, 200));
  });
});
