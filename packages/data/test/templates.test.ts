import { describe, expect, it } from 'vitest';
import { fill, OBJECT_TEMPLATES, STYLE_TEMPLATES, UserError } from '../src/index.ts';
import { templateLines, templateProblem, templatesNamed } from '../src/templates.ts';

describe('the published lists', () => {
  it('have 27 and 19 templates, each with one place for the name', () => {
    expect(OBJECT_TEMPLATES).toHaveLength(27);
    expect(STYLE_TEMPLATES).toHaveLength(19);
    for (const template of [...OBJECT_TEMPLATES, ...STYLE_TEMPLATES]) {
      expect(template.split('{}')).toHaveLength(2);
    }
  });

  it('hold two style templates twice, as the reference does', () => {
    expect(new Set(OBJECT_TEMPLATES).size).toBe(27);
    expect(
      STYLE_TEMPLATES.filter((template, at) => STYLE_TEMPLATES.indexOf(template) !== at),
    ).toEqual(['a cropped painting in the style of {}', 'a close-up painting in the style of {}']);
  });
});

describe('fill', () => {
  const words = { name: '<boy>', filewords: 'a cat, sitting' };
  it.each([
    ['a drawing of {}', 'a drawing of <boy>'],
    ['a photo of [name], [filewords]', 'a photo of <boy>, a cat, sitting'],
    ['{caption} in the style of {}', 'a cat, sitting in the style of <boy>'],
    ['{} {} [name]', '<boy> <boy> <boy>'],
    ['a plain prompt', 'a plain prompt'],
    ['[deemphasised] (word:1.2)', '[deemphasised] (word:1.2)'],
  ])('%s', (template, caption) => {
    expect(fill(template, words)).toBe(caption);
  });

  it('fills [name] inside a caption, as A1111 does, and nothing else in it', () => {
    const filewords = '[name] with {} and [filewords]';
    expect(fill('{caption}', { name: 'x', filewords })).toBe('x with {} and [filewords]');
    expect(fill('[filewords]', { filewords: '[name]' })).toBe('[name]');
  });

  it('takes names and captions literally', () => {
    expect(fill('a {} of {caption}', { name: "$& $1 $'", filewords: '$$' })).toBe(
      "a $& $1 $' of $$",
    );
  });

  it('asks for the name where the template needs one', () => {
    expect(() => fill('a {}', { filewords: '' })).toThrow(UserError);
    expect(() => fill('a {}', { filewords: '' })).toThrow("'a {}' has a place for the name");
  });
});

describe('templatesNamed', () => {
  it('tells lists, files, templates and several templates apart', () => {
    expect(templatesNamed('object')).toEqual({ templates: OBJECT_TEMPLATES });
    expect(templatesNamed('style')).toEqual({ templates: STYLE_TEMPLATES });
    expect(templatesNamed('words/style_filewords.TXT')).toEqual({
      file: 'words/style_filewords.TXT',
    });
    expect(templatesNamed('a scan of {}.txt')).toEqual({ templates: ['a scan of {}.txt'] });
    expect(templatesNamed(['a {}', 'b'])).toEqual({ templates: ['a {}', 'b'] });
  });
});

describe('template files', () => {
  it('hold one template a line', () => {
    const text = 'a photo of [name], [filewords]\r\n\r\n  [name] style  \n';
    expect(templateLines(text, 'f.txt')).toEqual([
      'a photo of [name], [filewords]',
      '[name] style',
    ]);
  });

  it('hold one at least', () => {
    expect(() => templateLines(' \n\n', 'dir/f.txt')).toThrow('dir/f.txt holds no template');
  });
});

describe('templateProblem', () => {
  it.each([['object'], ['a {} {caption}'], ['[name]'], [['a {}', 'b']]])('accepts %j', (value) => {
    expect(templateProblem(value)).toBeUndefined();
  });
  it.each([[''], ['  '], [3], [[]], [['a', 4]], ['a {name}'], ['{0}']])('refuses %j', (value) => {
    expect(templateProblem(value)).toBeTypeOf('string');
  });
});
