import { describe, expect, expectTypeOf, it } from 'vitest';
import { images, imagesProblems, providedBy, withClassImages } from '../src/index.ts';
import { openImages } from '../src/node/index.ts';
import type { BatchOf, ClassBatch, DataSpec, ImageSet, Provides } from '../src/index.ts';

describe('images', () => {
  it('describes a folder as the plain data that a recipe holds', () => {
    const spec = images('photos/boy', { template: 'a drawing of {}', resolution: 64, flip: 0.5 });
    const recipe = { images: 'photos/boy', template: 'a drawing of {}', resolution: 64, flip: 0.5 };
    expect(spec).toEqual(recipe);
    expect(JSON.parse(JSON.stringify(spec))).toEqual(recipe);
    expect(images({ ...spec, images: 'photos/boy' })).toEqual(recipe);
  });

  it('leaves out what was not said', () => {
    expect(Object.keys(images('a', { flip: undefined }))).toEqual(['images']);
  });

  it('is frozen through and through, and keeps no hold on what it was given', () => {
    const template = ['a {}', 'the {}'];
    const spec = withClassImages(images('a', { template }), 'b', { caption: 'a dog' });
    template.push('other');
    expect(spec.template).toEqual(['a {}', 'the {}']);
    for (const part of [spec, spec.template, spec.classImages])
      expect(Object.isFrozen(part)).toBe(true);
  });

  it('reads nothing: a folder that is not there is fine until it is opened', async () => {
    const spec = images('/no/such/folder', { resolution: 64 });
    expect(imagesProblems(spec)).toEqual([]);
    await expect(openImages(spec)).rejects.toThrow('/no/such/folder cannot be opened');
  });
});

describe('what data provides', () => {
  it('is in its type', () => {
    const plain = images('a');
    const both = withClassImages(plain, 'b');
    expectTypeOf(plain).toEqualTypeOf<DataSpec<'instance'>>();
    expectTypeOf(both).toEqualTypeOf<DataSpec<'instance' | 'class'>>();
    expectTypeOf(both).toExtend<DataSpec<'instance'>>();
    expectTypeOf(plain).not.toExtend<DataSpec<'instance' | 'class'>>();
  });

  it('is inferred, and asked for, by whoever takes it', () => {
    const accept = <P extends Provides>(data: DataSpec<P>, needs: readonly NoInfer<P>[]): P[] =>
      data.images === '' ? [] : [...needs];
    expectTypeOf(accept(images('a'), ['instance'])).toEqualTypeOf<'instance'[]>();
    // @ts-expect-error data without class images cannot serve an objective that needs them
    accept(images('a'), ['class']);
    expect(accept(withClassImages(images('a'), 'b'), ['instance', 'class'])).toHaveLength(2);
    expectTypeOf<BatchOf<'instance' | 'class'>>().toEqualTypeOf<ClassBatch>();
    expectTypeOf<ImageSet['classes']>().toEqualTypeOf<undefined>();
  });

  it('can be asked at run time', () => {
    expect(providedBy(images('a'))).toEqual(['instance']);
    expect(providedBy(withClassImages(images('a'), 'b'))).toEqual(['instance', 'class']);
  });
});

describe('imagesProblems', () => {
  it('finds every problem at once and says what would be right', () => {
    const problems = imagesProblems({
      images: 7,
      templates: 'x',
      resolution: 'big',
      flip: 2,
      interpolation: 'nearest',
      pick: 'epoch',
      repeats: 0.5,
      classImages: { caption: 3 },
      template: 'a {token}',
    });
    const text = problems.join('\n');
    expect(problems).toHaveLength(9);
    for (const part of [
      "no setting 'templates'",
      'data.images must be the path of a folder, not 7',
      'data.resolution must be a whole number of pixels',
      'data.flip must be a probability, 0 to 1, not 2',
      'data.interpolation must be one of bilinear, bicubic, lanczos',
      'data.pick must be one of fetch, image',
      'data.repeats must be a whole number',
      "data.classImages needs 'images'",
      'data.template has a place {token} that nothing fills',
    ]) {
      expect(text).toContain(part);
    }
  });

  it.each([
    [{ images: 'b', count: 0 }, "has a 'count' that is no whole number, 1 or more"],
    [{ images: 'b', caption: 3 }, "has a 'caption' that is no text"],
    [{ images: 'b', prompt: 'a dog' }, 'has an unknown key'],
  ])('looks into class images: %j', (classImages, problem) => {
    expect(imagesProblems({ images: 'a', classImages })).toEqual([
      expect.stringContaining(problem),
    ]);
    expect(imagesProblems(withClassImages(images('a'), 'b', { count: 100 }))).toEqual([]);
  });

  it.each([[undefined], [null], ['photos'], [[]]])('refuses %j', (value) => {
    expect(imagesProblems(value)[0]).toContain('data must be an object');
  });

  it('asks for a folder', () => {
    expect(imagesProblems({ flip: 0 })).toEqual([
      "data has no 'images': name the folder that holds the pictures",
    ]);
  });

  it('is what opening throws', async () => {
    const spec = images('a', { flip: 3, repeats: -1 });
    await expect(openImages(spec)).rejects.toMatchObject({
      name: 'UserError',
      message: imagesProblems(spec).join('\n'),
    });
  });
});
