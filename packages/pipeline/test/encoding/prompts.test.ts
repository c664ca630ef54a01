import { beforeAll, describe, expect, it } from 'vitest';
import { promptsOf } from '../../src/encoding/prompts.ts';
import { type Base, openBase } from '../../src/index.ts';
import { base as path } from '../support/small.ts';

let base: Base;
beforeAll(async () => {
  base = await openBase(path);
});
const word = { token: '<cup>', vectors: 2 };
const long = `a <cup>, ${'very '.repeat(100)}red`;

describe('prompts', () => {
  it('are cut at one window, and say what is lost', () => {
    const prompts = promptsOf(base, [word], { longPrompts: 'truncate' });
    expect(prompts.ids('a <cup>', 1).slice(0, 5)).toEqual([49406, 320, 49408, 49409, 49407]);
    expect(prompts.ids(long, 1)).toHaveLength(77);
    expect(prompts.windowsOf(long)).toBe(1);
    expect(prompts.cutOff(long)).toMatch(/very red$/);
    expect(prompts.cutOff('a <cup>')).toBeUndefined();
  });

  it('go into as many windows as they need, filled up with empty ones', () => {
    const prompts = promptsOf(base, [word], { longPrompts: 'chunks' });
    expect(prompts.windowsOf(long)).toBe(2);
    expect(prompts.cutOff(long)).toBeUndefined();
    const two = prompts.ids('a <cup>', 2);
    expect(two).toHaveLength(154);
    expect(two.slice(0, 5)).toEqual([49406, 320, 49408, 49409, 49407]);
    expect(two.slice(77)).toEqual(prompts.ids('', 1));
  });

  it('number taught words after the rows of the table, which may be more than the words', () => {
    const roomy = { ...base, textEncoder: { ...base.textEncoder, vocabSize: 49410 } };
    expect(
      promptsOf(roomy, [word], { longPrompts: 'truncate' }).ids('a <cup>', 1).slice(0, 5),
    ).toEqual([49406, 320, 49410, 49411, 49407]);
  });

  it('are read as A1111 reads them, where asked', () => {
    const prompts = promptsOf(base, [word], { longPrompts: 'truncate', promptSyntax: 'a1111' });
    expect(prompts.ids('a (<cup>:1.5)', 1).slice(0, 5)).toEqual([49406, 320, 49408, 49409, 49407]);
    expect(prompts.multipliers('a (<cup>:1.5)', 1)!.slice(0, 5)).toEqual([1, 1, 1.5, 1.5, 1]);
    expect(prompts.multipliers('a (<cup>:1.5)', 2)).toHaveLength(154);
    expect(prompts.multipliers('a \\(<cup>\\)', 1)).toBeUndefined();
    expect(prompts.windowsOf('a BREAK b')).toBe(2);
    expect(prompts.windowsOf(long)).toBe(2);
    const plain = promptsOf(base, [word], { longPrompts: 'chunks' });
    expect(plain.multipliers('a (<cup>:1.5)', 1)).toBeUndefined();
    expect(plain.windowsOf('a BREAK b')).toBe(1);
  });

  it('refuse a word that exists', () => {
    expect(() =>
      promptsOf(base, [{ token: 'cup', vectors: 1 }], { longPrompts: 'truncate' }),
    ).toThrow(/in the vocabulary already/);
    expect(() => promptsOf(base, [word, word], { longPrompts: 'truncate' })).toThrow(
      /in the vocabulary already/,
    );
  });
});
