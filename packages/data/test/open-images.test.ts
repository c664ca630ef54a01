import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { images, STYLE_TEMPLATES, withClassImages } from '../src/index.ts';
import { openImages, picturesIn } from '../src/node/index.ts';
import type { ImagesOptions } from '../src/index.ts';
import { fixtures, folderOf, goldens, plainPng, readF32 } from './folders.ts';

const open = (folder: string, options: ImagesOptions = {}) =>
  openImages(images(folder, { resolution: 16, ...options }));
const red = await plainPng('red');

describe('what a folder holds', () => {
  it('gives the pictures in the order of their names, with the pixels of the reference', async () => {
    const set = await open(join(goldens, 'images'), { resolution: 64 });
    const expected = await readF32(join(goldens, 'pixels.safetensors'));
    expect(set.items.map(({ file, filewords }) => [file, filewords])).toEqual([
      ['00_coffee.png', '_coffee'],
      ['01_rocket.png', '_rocket'],
      ['02_motorcycle_right.png', '_motorcycle_right'],
      ['03_chelsea.png', '_chelsea'],
    ]);
    expect([set.width, set.height, set.classes]).toEqual([64, 64, undefined]);
    for (const [index, { file }] of set.items.entries()) {
      const pixels = await set.pixels(index);
      expect(pixels.data).toEqual(expected.get(`images/${file}`));
      const mirrored = await set.pixels(index, true);
      for (const [c, y, x] of [
        [0, 0, 0],
        [1, 10, 3],
        [2, 63, 63],
      ] as const) {
        expect(mirrored.get(c, y, 63 - x)).toBe(pixels.get(c, y, x));
      }
    }
  });

  it('counts jpeg, png and webp in any case, sorted by bytes whatever the locale', async () => {
    const jpeg = await sharp(red).jpeg().toBuffer();
    const webp = await sharp(red).webp().toBuffer();
    const set = await open(
      folderOf({
        'b.JPG': jpeg,
        'a.jpeg': jpeg,
        'B.png': red,
        'é.webp': webp,
        'z.WebP': webp,
        '10.png': red,
        '9.png': red,
      }),
    );
    const names = set.items.map(({ file }) => file);
    expect(names).toEqual(['10.png', '9.png', 'B.png', 'a.jpeg', 'b.JPG', 'z.WebP', 'é.webp']);
  });

  it('does not look into folders or at hidden files, follows links, and says what it left out', async () => {
    const folder = folderOf({
      'a.png': red,
      'inner/b.png': red,
      '.c.png': red,
      '._a.png': 'x',
      'x.heic': 'x',
      'y.gif': 'x',
      'z.heic': 'x',
    });
    symlinkSync(join(folder, 'inner/b.png'), join(folder, 'link.png'));
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dead.png'));
    const set = await open(folder);
    expect(set.items.map(({ file }) => file)).toEqual(['a.png', 'link.png']);
    expect(set.warnings).toEqual([
      `${folder}: left out 1 .gif, 2 .heic, 2 folders or dead links; .jpg, .jpeg, .png, .webp count`,
    ]);
  });

  it('tells of small pictures and captions without a picture', async () => {
    const folder = folderOf({ 'a.png': red, 'a.txt': 'x', 'b.txt': 'x' });
    const { warnings, items } = await open(folder, { resolution: 32 });
    expect(items[0]).toMatchObject({ width: 16, height: 16, path: join(folder, 'a.png') });
    expect(warnings).toEqual([
      `${folder}: no picture belongs to the caption file b.txt`,
      `smaller than 32 x 32 and enlarged, which blurs: ${join(folder, 'a.png')} (16 x 16)`,
    ]);
  });
});

describe('pictures that can be read but deserve a look', () => {
  it('are in the warnings', async () => {
    const jpeg = await sharp(join(fixtures, 'source.png')).jpeg().toBuffer();
    jpeg.fill(0xff, jpeg.length / 2, jpeg.length / 2 + 400);
    const folder = folderOf({
      'hole.jpg': jpeg,
      'rocket.png': readFileSync(join(goldens, 'images/01_rocket.png')),
    });
    const { warnings } = await open(folder, { resolution: 64 });
    expect(warnings).toHaveLength(2);
    expect(warnings.join('\n')).toContain(`${join(folder, 'hole.jpg')} may be damaged (`);
    expect(warnings.join('\n')).toContain(`${join(folder, 'rocket.png')} has the size already`);
  });
});

describe('captions', () => {
  it('come from the .txt of the same stem, else from the name', async () => {
    const set = await open(
      folderOf({
        '00_a.png': red,
        '00_a.txt': '\uFEFFa red square\r\n',
        '01 b.png': red,
        '01 b.TXT': '',
        '02-c d.png': red,
        'e.f.png': red,
        'e.f.txt': 'dots',
        'e.txt': 'not this one',
      }),
    );
    expect(set.items.map(({ filewords }) => filewords)).toEqual([
      'a red square',
      '',
      'c d',
      'dots',
    ]);
  });

  it('must be UTF-8', async () => {
    const folder = folderOf({ 'a.png': red, 'a.txt': Buffer.from([0xe9]) });
    await expect(open(folder)).rejects.toThrow(`${join(folder, 'a.txt')} is not UTF-8`);
  });
});

describe('settings', () => {
  it('of the description win over those of the caller', async () => {
    const folder = folderOf({ 'a.png': red });
    const set = await openImages(images(folder, { resolution: '16x24', template: 'a {}' }), {
      resolution: 8,
      template: 'style',
    });
    expect([set.width, set.height, set.templates]).toEqual([16, 24, ['a {}']]);
    const other = await openImages(images(folder), { resolution: 8, template: 'style' });
    expect([other.width, other.templates]).toEqual([8, STYLE_TEMPLATES]);
    const own = await openImages(images(folder), { resolution: 8 });
    expect(own.templates).toEqual(['{caption}']);
  });

  it('need a resolution from somewhere', async () => {
    const folder = folderOf({ 'a.png': red });
    await expect(openImages(images(folder))).rejects.toThrow(
      `the data in ${folder} has no resolution`,
    );
  });

  it('can name a template file; relative paths start where the caller says', async () => {
    const base = folderOf({
      'photos/a.png': red,
      'words/own.txt': 'a photo of [name]\n\n[filewords]\n',
    });
    const spec = images('photos', { resolution: 16, template: 'words/own.txt' });
    const set = await openImages(spec, { relativeTo: base });
    expect(set.templates).toEqual(['a photo of [name]', '[filewords]']);
    expect(set.folder).toBe(join(base, 'photos'));
    const missing = images(join(base, 'photos'), { resolution: 16, template: 'other.txt' });
    await expect(openImages(missing, { relativeTo: base })).rejects.toThrow(
      `the template file ${join(base, 'other.txt')} cannot be read: ENOENT`,
    );
  });

  it('take the same data from a recipe file', async () => {
    const base = folderOf({ 'photos/a.png': red });
    const recipe: unknown = JSON.parse(
      '{"images":"photos","template":"a drawing of {}","resolution":64,"flip":0.5}',
    );
    const set = await openImages(recipe as ReturnType<typeof images>, { relativeTo: base });
    expect(set.items).toHaveLength(1);
  });
});

describe('class images', () => {
  it('are opened beside the others, with one caption or their own', async () => {
    const spec = images(join(goldens, 'images'), { resolution: 64 });
    const set = await openImages(
      withClassImages(spec, join(goldens, 'class_images'), { caption: 'a photo of a person' }),
    );
    expect(set.classes.items.map(({ file, filewords }) => [file, filewords])).toEqual([
      ['00_astronaut.png', 'a photo of a person'],
      ['01_ihc.png', 'a photo of a person'],
      ['02_hubble_deep_field.png', 'a photo of a person'],
    ]);
    const own = await openImages(withClassImages(spec, join(goldens, 'class_images')));
    expect(own.classes.items[0]!.filewords).toBe('_astronaut');
    const expected = await readF32(join(goldens, 'pixels.safetensors'));
    expect((await own.classes.pixels(2)).data).toEqual(
      expected.get('class_images/02_hubble_deep_field.png'),
    );
  });

  it('are the first so many of their folder, where a count says so', async () => {
    const spec = images(join(goldens, 'images'), { resolution: 64 });
    const folder = join(goldens, 'class_images');
    const set = await openImages(withClassImages(spec, folder, { count: 2 }));
    expect(set.classes.items.map(({ file }) => file)).toEqual(['00_astronaut.png', '01_ihc.png']);
  });

  it('are counted without being opened, hidden files and texts left out', async () => {
    const folder = folderOf({ 'b.png': red, '.0.png.part': red, 'a.jpg': red, 'a.txt': 'a dog' });
    expect(await picturesIn(folder)).toEqual(['a.jpg', 'b.png']);
    expect(await picturesIn(join(folder, 'none'))).toEqual([]);
    await expect(picturesIn(join(folder, 'b.png'))).rejects.toThrow('b.png is a file');
  });

  it('must be there', async () => {
    const spec = withClassImages(
      images(join(goldens, 'images'), { resolution: 64 }),
      join(goldens, 'nowhere'),
    );
    await expect(openImages(spec)).rejects.toThrow('nowhere cannot be opened');
  });
});

describe('folders that cannot be trained on', () => {
  const refused = (folder: string, message: string) =>
    expect(open(folder)).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringContaining(message),
    });

  it('a missing one', () => refused(join(folderOf(), 'none'), 'none cannot be opened: ENOENT'));
  it('a file', () =>
    refused(join(folderOf({ 'a.png': red }), 'a.png'), 'a.png is a file: name the folder'));
  it('an empty one', () =>
    refused(
      folderOf(),
      'has no pictures: it is empty; files that end in .jpg, .jpeg, .png, .webp count',
    ));
  it('one without pictures', () =>
    refused(
      folderOf({ 'a.heic': 'x', 'b.heic': 'x', 'c.txt': 'x', README: 'x' }),
      'has no pictures: it holds 2 .heic, 1 .txt, 1 without extension;',
    ));

  it('one with broken pictures, all of which are named', async () => {
    const whole = readFileSync(join(fixtures, 'source.png'));
    const folder = folderOf({
      'a.png': red,
      'cut.png': whole.subarray(0, 20_000),
      'empty.jpg': '',
      'page.jpg': '<html>',
      'cut.jpg': (await sharp(whole).jpeg().toBuffer()).subarray(0, -200),
    });
    const error = await open(folder).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'UserError' });
    const lines = String(error).split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[0]).toContain(`${join(folder, 'cut.jpg')} is broken or cut short`);
    expect(lines[1]).toContain(`${join(folder, 'cut.png')} is broken or cut short`);
    expect(lines[2]).toContain(`${join(folder, 'empty.jpg')} is empty`);
    expect(lines[3]).toContain(`${join(folder, 'page.jpg')} holds no jpeg`);
  });

  it('are found when a picture is fetched, where opening only reads headers', async () => {
    const whole = readFileSync(join(fixtures, 'source.png'));
    const folder = folderOf({ 'a.png': red, 'cut.png': whole.subarray(0, 20_000) });
    const set = await openImages(images(folder, { resolution: 16 }), { verify: false });
    await expect(set.decode(0)).resolves.toMatchObject({ width: 16 });
    await expect(set.decode(1)).rejects.toThrow(
      `${join(folder, 'cut.png')} is broken or cut short`,
    );
    await expect(set.decode(2)).rejects.toThrow(`${folder} has pictures 0 to 1, no picture 2`);
  });
});
