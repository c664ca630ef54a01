import { UserError } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import { parseAttention } from '../../src/prompts/attention.ts';
import { weightedPrompt } from '../../src/prompts/composition.ts';
import { promptNetworks } from '../../src/prompts/networks.ts';
import { promptSchedule } from '../../src/prompts/schedule.ts';
import { fixture } from '../tokenizer/fixtures.ts';

const parsed = fixture<{
  attention: [text: string, parts: [string, number][] | null][];
  schedules: [text: string, steps: number, texts: [number, string][]][];
  composed: [text: string, parts: [string, number][]][];
  networks: [
    text: string,
    rest: string,
    found: [name: string, positional: string[], named: Record<string, string>][],
  ][];
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

describe('promptNetworks', () => {
  it.each(parsed.networks)('reads %j as A1111 does', (prompt, rest, found) => {
    const { text, networks } = promptNetworks(prompt);
    expect(text).toBe(rest);
    // A1111 gathers them by name.
    const byName = [...new Set(networks.map(({ name }) => name))].flatMap((name) =>
      networks.filter((network) => network.name === name),
    );
    expect(byName.map(({ name, positional, named }) => [name, positional, named])).toEqual(found);
  });
});
