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
    const prompts = promptsOf(base, [word], 'truncate');
    expect(prompts.ids('a <cup>', 1).slice(0, 5)).toEqual([49406, 320, 49408, 49409, 49407]);
    expect(prompts.ids(long, 1)).toHaveLength(77);
    expect(prompts.windowsOf(long)).toBe(1);
    expect(prompts.cutOff(long)).toMatch(/very red$/);
    expect(prompts.cutOff('a <cup>')).toBeUndefined();
  });

  it('go into as many windows as they need, filled up with empty ones', () => {
    const prompts = promptsOf(base, [word], 'chunks');
    expect(prompts.windowsOf(long)).toBe(2);
    expect(prompts.cutOff(long)).toBeUndefined();
    const two = prompts.ids('a <cup>', 2);
    expect(two).toHaveLength(154);
    expect(two.slice(0, 5)).toEqual([49406, 320, 49408, 49409, 49407]);
    expect(two.slice(77)).toEqual(prompts.ids('', 1));
  });

  it('number taught words after the rows of the table, which may be more than the words', () => {
    const roomy = { ...base, textEncoder: { ...base.textEncoder, vocabSize: 49410 } };
    expect(promptsOf(roomy, [word], 'truncate').ids('a <cup>', 1).slice(0, 5)).toEqual([
      49406, 320, 49410, 49411, 49407,
    ]);
  });

  it('refuse a word that exists', () => {
    expect(() => promptsOf(base, [{ token: 'cup', vectors: 1 }], 'truncate')).toThrow(
      /in the vocabulary already/,
    );
    expect(() => promptsOf(base, [word, word], 'truncate')).toThrow(/in the vocabulary already/);
  });
});
