import { cpu } from '@sdft/tensor/node';
import { it } from 'vitest';
import { expectAlike } from '../support/customOps.ts';

// The other backends have their turn in the long tests.
it('an adapter with a custom operation trains and draws as one made of primitives', () =>
  expectAlike(cpu(), { steps: 3, draw: true }));
