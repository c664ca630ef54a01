import { learnedKinds } from '@sdft/methods';
import { expect, test } from 'vitest';
import { learnedFlags } from '../src/options/drawing.ts';
import { splitStrength } from '../src/generation/learned.ts';

test('every kind of learned file has its flag', () => {
  expect(Object.values(learnedKinds).map(({ name, summary }) => [name, summary])).toEqual(
    Object.entries(learnedFlags),
  );
});

test.each([
  ['boy.pt', 'boy.pt', undefined],
  ['boy.pt:0.8', 'boy.pt', 0.8],
  ['C:\\boy.pt:-1e-1', 'C:\\boy.pt', -0.1],
  ['C:\\boy.pt', 'C:\\boy.pt', undefined],
  ['boy:much', 'boy:much', undefined],
])('%s', (text, file, strength) => {
  expect(splitStrength(text)).toEqual({ file, strength });
});
