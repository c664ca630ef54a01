import { expect, test } from 'vitest';
import { growth } from '../support/growth.ts';

test('what tells growth from chance', () => {
  const pieces = (size: number) =>
    Array.from({ length: 200 }, (_, i) => 128 * Math.floor((i * size) / 128));
  const [still, leaking] = [growth(pieces(1)), growth(pieces(20))];
  expect(still.mean).toBeLessThanOrEqual(still.half);
  expect(leaking.mean).toBeGreaterThan(leaking.half);
});
