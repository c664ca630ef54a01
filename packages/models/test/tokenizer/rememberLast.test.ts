import { expect, it } from 'vitest';
import { rememberLast } from '../../src/node/rememberLast.ts';

it('makes a thing once for the same texts, and again for others', () => {
  const made: string[] = [];
  const make = rememberLast((texts: readonly (string | undefined)[], where) => {
    if (texts[0] === 'bad') throw new Error(where);
    made.push(where);
    return texts.join();
  });
  expect(make(['a', undefined], 'here')).toBe('a,');
  expect(make(['a', undefined], 'there')).toBe('a,');
  expect(() => make(['bad', 'b'], 'elsewhere')).toThrow('elsewhere');
  expect(make(['a', 'b'], 'there')).toBe('a,b');
  expect(make(['a', undefined], 'back')).toBe('a,');
  expect(made).toEqual(['here', 'there', 'back']);
});
