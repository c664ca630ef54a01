import { expect, test } from 'vitest';
import { fuzz } from './fuzz.ts';

test('2,000 damaged files: refused or read, soon, in bounded memory', async () => {
  const { refused, read } = await fuzz(2000, 20260801);
  expect(refused).toBeGreaterThan(1000);
  expect(read).toBeGreaterThan(50);
});
