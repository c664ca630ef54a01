import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import { bucketSizes, nearestBucket } from '../src/buckets.ts';
import { openImages, prepareFolder } from '../src/node/index.ts';
import { images } from '../src/index.ts';
import { folderOf, plainPng } from './folders.ts';

const bytesOf = async (
  path: string,
): Promise<{ size: string; at: (x: number, y: number) => number[] }> => {
  const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
  const at = (x: number, y: number): number[] => {
    const from = info.channels * (y * info.width + x);
    return [...data.subarray(from, from + 3)];
  };
  return { size: `${info.width}x${info.height}`, at };
};
const textIn = (folder: string, file: string): string => readFileSync(join(folder, file), 'utf8');

describe('prepareFolder', () => {
  test('crops, writes captions, and is what training then reads', async () => {
    const from = folderOf({
      '01_a red_dog.png': await plainPng('#ff0000', 60, 30),
      'b.png': await plainPng('#00ff00', 20, 20),
      'b.txt': 'green_field, wide\r\n',
      'B.webp': await sharp(await plainPng('#00ff00', 40, 40))
        .webp({ lossless: true })
        .toBuffer(),
    });
    const to = join(folderOf(), 'new/ready');
    const { pictures, warnings } = await prepareFolder(from, to, {
      ...{ resolution: '24x16', prefix: 'sks', underscoresToSpaces: true },
    });
    expect(pictures.map(({ file, captionFrom }) => [file, captionFrom])).toEqual([
      ['01_a red_dog.png', 'name'],
      ['B.png', 'name'],
      ['b-2.png', 'file'],
    ]);
    expect(textIn(to, '01_a red_dog.txt')).toBe('sks, a red dog\n');
    expect(textIn(to, 'b-2.txt')).toBe('sks, green field, wide\n');
    const { size, at } = await bytesOf(join(to, '01_a red_dog.png'));
    expect([size, at(12, 8)]).toEqual(['24x16', [255, 0, 0]]);
    expect(pictures[0]).toMatchObject({
      ...{ was: { width: 60, height: 30 }, size: { width: 24, height: 16 } },
      ...{ scale: 32 / 60, cut: 1 - 24 / 32 },
    });
    expect(warnings).toEqual([
      'enlarged, which blurs: b.png (20 x 20)',
      'lose more than 30 % of their area; pad or bucket keeps it: B.webp (40 x 40), b.png (20 x 20)',
      'the same picture, which counts that many times: B.webp, b.png',
    ]);
    const set = await openImages(images(to, { resolution: '24x16' }));
    expect(set.warnings).toEqual([]);
    expect(set.items.map(({ filewords }) => filewords)).toEqual(
      pictures.map(({ caption }) => caption),
    );
    expect(readdirSync(join(to, '..'))).toEqual(['ready']);
  });

  test('pads with a colour, keeping the whole picture', async () => {
    const from = folderOf({ 'a.png': await plainPng('#0000ff', 40, 10) });
    const to = join(folderOf(), 'ready');
    await prepareFolder(from, to, { resolution: 20, fit: 'pad', background: '#102030' });
    const { size, at } = await bytesOf(join(to, 'a.png'));
    expect(size).toBe('20x20');
    expect([at(0, 6), at(10, 9), at(19, 12)]).toEqual([
      [16, 32, 48],
      [0, 0, 255],
      [16, 32, 48],
    ]);
  });

  test('sorts into buckets', async () => {
    const from = folderOf({
      'wide.png': await plainPng('#ffffff', 200, 100),
      'high.png': await plainPng('#ffffff', 100, 150),
    });
    const to = join(folderOf(), 'ready');
    const { pictures } = await prepareFolder(from, to, { resolution: 64, fit: 'bucket' });
    expect(pictures.map(({ file }) => file)).toEqual(['48x80/high.png', '88x40/wide.png']);
    expect((await bytesOf(join(to, '88x40/wide.png'))).size).toBe('88x40');
  });

  test('names every picture that is broken, and leaves nothing behind', async () => {
    const good = await plainPng('#ffffff', 40, 40);
    const from = folderOf({ 'a.png': good, 'b.png': good.subarray(0, 70), 'c.jpg': 'no picture' });
    const parent = folderOf();
    const preparing = prepareFolder(from, join(parent, 'ready'), { resolution: 32 });
    await expect(preparing).rejects.toThrow(/b\.png is broken[^]*c\.jpg holds no jpeg/);
    expect(readdirSync(parent)).toEqual([]);
  });

  test('writes over nothing unless it is told to, and never over the pictures themselves', async () => {
    const from = folderOf({ 'a.png': await plainPng('#ffffff', 40, 40) });
    const to = folderOf({ 'a.png': 'mine', 'other.txt': 'mine' });
    await expect(prepareFolder(from, to, { resolution: 32 })).rejects.toThrow(/exists already/);
    await expect(prepareFolder(from, from, { resolution: 32, force: true })).rejects.toThrow(
      /holds the pictures themselves/,
    );
    await prepareFolder(from, to, { resolution: 32, force: true });
    expect((await bytesOf(join(to, 'a.png'))).size).toBe('32x32');
    expect(textIn(to, 'other.txt')).toBe('mine');
    expect(existsSync(join(to, 'a.txt'))).toBe(true);
  });
});

describe('buckets', () => {
  test("at 512 pixels have kohya's sides", () => {
    // library/model_util.py, make_bucket_resolutions((512, 512), 256, 1024, 64), narrowest first
    const expected =
      '256x1024 256x960 256x896 256x832 320x768 320x704 384x640 448x576 512x512 576x448 640x384 704x320 768x320 832x256 896x256 960x256 1024x256';
    const ours = bucketSizes({ width: 512, height: 512 }).map(
      ({ width, height }) => `${width}x${height}`,
    );
    expect(ours.sort()).toEqual(expected.split(' ').sort());
  });

  test('are chosen by shape', () => {
    const buckets = bucketSizes({ width: 512, height: 512 });
    const chosen = (width: number, height: number) => nearestBucket({ width, height }, buckets);
    expect(chosen(3000, 2000)).toEqual({ width: 640, height: 384 });
    expect(chosen(100, 100)).toEqual({ width: 512, height: 512 });
    expect(chosen(100, 1900)).toEqual({ width: 256, height: 1024 });
  });
});
