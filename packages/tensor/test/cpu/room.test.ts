import { expect, test } from 'vitest';
import type { MemoryPlan } from '../../src/index.ts';
import { childResult } from './support/child.ts';

test('training takes what is planned for it, within a tenth', async () => {
  const { planned, measured, known } = await childResult<{
    planned: MemoryPlan;
    measured: number;
    known: MemoryPlan;
  }>('room');
  expect(known).toEqual(planned);
  const layer = 4 * 4096 ** 2;
  expect(planned.state).toBe(2 * layer);
  // Two gradients, and a copy of each.
  expect(planned.activations / layer).toBeCloseTo(4, 1);
  expect(measured / (planned.state + planned.activations)).toBeGreaterThan(0.9);
  expect(measured / (planned.state + planned.activations)).toBeLessThan(1.1);
});
