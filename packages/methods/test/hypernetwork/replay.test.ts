import { describe, test } from 'vitest';
import { cpu, reference } from '../../src/index.ts';
import { cases, expectTrajectory } from './goldens.ts';

describe("runs of A1111's hypernetwork trainer, repeated", () => {
  test.for(cases)('on the cpu: $name', (one) => expectTrajectory(one, cpu()));
  test.for(cases)('on the reference backend: $name', (one) => expectTrajectory(one, reference));
});
