import { UserError } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import { parseAttention } from '../../src/prompts/attention.ts';
import { weightedPrompt } from '../../src/prompts/composition.ts';
import { promptSchedule } from '../../src/prompts/schedule.ts';
import { fixture } from '../tokenizer/fixtures.ts';

const parsed = fixture<{
  attention: [text: string, parts: [string, number][] | null][];
  schedules: [text: string, steps: number, texts: [number, string][]][];
  composed: [text: string, parts: [string, number][]][];
}>('prompts/parse.json');

describe('parseAttention', () => {
  it.each(parsed.attention)('reads %j as A1111 does', (text, parts) => {
    if (parts === null) expect(() => parseAttention(text)).toThrow(UserError);
    else expect(parseAttention(text).map(({ text, weight }) => [text, weight])).toEqual(parts);
  });

  it('names the weight that is no number', () => {
    expect(() => parseAttention('a (cat:1..2)')).toThrow(/the weight 1\.\.2 is no number/);
  });
});

describe('promptSchedule', () => {
  it.each(parsed.schedules)('reads %j over %i steps as A1111 does', (text, steps, texts) => {
    expect(promptSchedule(text, steps).map(({ last, text }) => [last, text])).toEqual(texts);
  });
});

describe('weightedPrompt', () => {
  it.each(parsed.composed)('reads %j as A1111 does', (prompt, parts) => {
    if (parts.length > 1) expect(() => weightedPrompt(prompt)).toThrow(/AND/);
    else {
      const { text, weight } = weightedPrompt(prompt);
      expect([[text, weight]]).toEqual(parts);
    }
  });

  it('refuses what AND composes', () => {
    expect(() => weightedPrompt('a cat AND a dog :0.5')).toThrow(/AND composes several prompts/);
  });
});
