import { describe, expect, it } from 'vitest';
import {
  parametersText,
  parseParameters,
  type PictureParameters,
} from '../../src/prompts/parameters.ts';
import { fixture } from '../tokenizer/fixtures.ts';

type Read = Readonly<Record<string, unknown>>;
const { ours, theirs } = fixture<{
  ours: [parameters: PictureParameters, text: string, read: Read][];
  theirs: [text: string, read: Read][];
}>('prompts/infotext.json');

/** Settings as A1111 reads them: sizes in two. */
const asRead = (settings: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(settings).flatMap(([key, value]) => {
      const size = /^(\d+)x(\d+)$/.exec(value);
      return size
        ? [
            [`${key}-1`, size[1]!],
            [`${key}-2`, size[2]!],
          ]
        : [[key, value]];
    }),
  );

describe('the text of a picture', () => {
  it.each(ours)('is read by A1111: %j', (parameters, text, read) => {
    expect(parametersText(parameters)).toBe(text);
    expect(parseParameters(text)).toEqual(parameters);
    const { prompt, negative, settings } = parameters;
    expect(read).toMatchObject({
      ...asRead(settings),
      Prompt: prompt,
      'Negative prompt': negative,
    });
  });

  it.each(theirs)('that A1111 writes is read as there: %j', (text, read) => {
    const { prompt, negative, settings } = parseParameters(text);
    expect({ prompt, negative }).toEqual({
      prompt: read['Prompt'],
      negative: read['Negative prompt'],
    });
    expect(Object.keys(settings).length).toBeGreaterThan(5);
    expect(read).toMatchObject(asRead(settings));
  });

  it('without settings is a prompt', () => {
    expect(parseParameters('a cat\nSteps: 3')).toEqual({
      prompt: 'a cat\nSteps: 3',
      negative: '',
      settings: {},
    });
  });
});
