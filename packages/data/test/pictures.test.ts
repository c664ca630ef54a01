import { readdirSync, readFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import ndarray from 'ndarray';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { images, toPixels, toRgb } from '../src/index.ts';
import { contactSheet, encodePng, openImages, writePng } from '../src/node/index.ts';
import { dotPath } from '../src/pixel-font.ts';
import { folderOf, goldens } from './folders.ts';

const set = await openImages(images(join(goldens, 'images'), { resolution: 64 }));
const picture = await set.pixels(0);
const pixelsOf = async (png: Uint8Array) => sharp(png).raw().toBuffer({ resolveWithObject: true });

describe('toRgb', () => {
  it('is the inverse of toPixels for every byte', () => {
    const data = Uint8Array.from({ length: 3 * 256 }, (_, at) => Math.floor(at / 3));
    const rgb = { data, width: 16, height: 16 };
    expect(toRgb(toPixels(rgb))).toEqual(rgb);
  });

  it('clamps, takes a batch of one, and views of any stride', () => {
    const pixels = ndarray(Float32Array.of(-7, -1, 0, 1, 9, 0.5), [1, 3, 1, 2]);
    expect([...toRgb(pixels).data]).toEqual([0, 128, 255, 0, 255, 191]);
    const bytes = ndarray(Uint8Array.of(1, 2, 3, 4, 5, 6), [1, 2, 3]);
    expect([...toRgb(bytes.step(1, -1, 1)).data]).toEqual([4, 5, 6, 1, 2, 3]);
  });

  it('refuses other shapes and NaN', () => {
    expect(() => toRgb(ndarray(new Float32Array(12), [2, 2, 3]))).toThrow('not [2,2,3]');
    expect(() => toRgb(ndarray(new Float32Array(24), [2, 3, 2, 2]))).toThrow(
      '[3,H,W] or [1,3,H,W]',
    );
    expect(() => toRgb(ndarray(new Uint8Array(12), [3, 2, 2]))).toThrow('must have shape [H,W,3]');
    expect(() => toRgb(ndarray(Float32Array.of(0, Number.NaN, 0), [3, 1, 1]))).toThrow(
      'NaN at channel 1, row 0, column 0',
    );
  });
});

describe('writePng', () => {
  it('keeps texts, of Latin letters and of others', async () => {
    const path = join(folderOf(), 'texts.png');
    const texts = { parameters: 'a cat, é\nSteps: 20', Comment: '少年' };
    await writePng(path, picture, { texts });
    const bytes = readFileSync(path);
    for (const [type, text] of [
      ['tEXt', Buffer.from('parameters\0a cat, é\nSteps: 20', 'latin1')],
      ['iTXt', Buffer.from('Comment\0\0\0\0\0少年', 'utf8')],
    ] as const) {
      const at = bytes.indexOf(Buffer.concat([Buffer.from(type), text]));
      expect(bytes.readUInt32BE(at - 4)).toBe(text.length);
      expect(bytes.readUInt32BE(at + 4 + text.length)).toBe(
        crc32(bytes.subarray(at, at + 4 + text.length)),
      );
    }
    const { comments = [], width } = await sharp(path).metadata();
    expect(comments.map(({ keyword }) => keyword)).toEqual(Object.keys(texts));
    expect(width).toBe(64);
    expect(await sharp(path).raw().toBuffer()).toEqual(
      await sharp(await encodePng(picture))
        .raw()
        .toBuffer(),
    );
  });

  it('writes what was shown', async () => {
    const path = join(folderOf(), 'new/folder/x.png');
    await writePng(path, picture);
    const { data, info } = await pixelsOf(readFileSync(path));
    expect([info.width, info.height, info.channels]).toEqual([64, 64, 3]);
    expect(data.equals((await set.decode(0)).data)).toBe(true);
  });

  it('overwrites only when forced, and leaves nothing behind', async () => {
    const folder = folderOf({ 'x.png': 'mine' });
    const path = join(folder, 'x.png');
    await expect(writePng(path, picture)).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringContaining(`${path} exists already`),
    });
    expect(readFileSync(path, 'utf8')).toBe('mine');
    await writePng(path, picture, { force: true });
    expect(readFileSync(path).equals(await encodePng(picture))).toBe(true);
    expect(readdirSync(folder)).toEqual(['x.png']);
  });

  it('lets one of two writers at the same time win', async () => {
    const folder = folderOf();
    const path = join(folder, 'x.png');
    const results = await Promise.allSettled([1, 2, 3, 4].map(() => writePng(path, picture)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(readdirSync(folder)).toEqual(['x.png']);
  });

  it('says what to do when the machine refuses', async () => {
    const folder = folderOf({ file: 'x', 'dir/y': '' });
    await expect(writePng(join(folder, 'file/x.png'), picture)).rejects.toThrow(
      'part of its path is a file',
    );
    await expect(writePng(join(folder, 'dir'), picture, { force: true })).rejects.toThrow(
      'there is a folder of that name',
    );
    await expect(writePng(join(folder, 'x.png'), new Uint8Array(4))).rejects.toThrow('no PNG file');
    expect(readdirSync(folder).sort()).toEqual(['dir', 'file']);
  });

  it('writes nothing where the file would be too large (as on a full disk)', () => {
    const folder = folderOf();
    const script = `
      import { writePng } from '@sdft/data/node';
      import ndarray from 'ndarray';
      const noise = Uint8Array.from({ length: 300 * 300 * 3 }, (_, i) => (i * 2654435761) >>> 13);
      process.on('SIGXFSZ', () => {});
      await writePng(process.argv[1], ndarray(noise, [300, 300, 3])).catch((error) => console.log(error.name, error.message));`;
    const node = [process.execPath, '--conditions=@sdft/source', '--input-type=module', '--eval'];
    const quoted = [...node, script, join(folder, 'x.png')]
      .map((word) => `'${word.replaceAll("'", `'\\''`)}'`)
      .join(' ');
    const run = spawnSync('bash', ['-c', `ulimit -f 8; exec ${quoted}`], {
      cwd: join(import.meta.dirname, '..'),
      encoding: 'utf8',
    });
    expect(run.stdout + run.stderr).toContain('UserError');
    expect(run.stdout).toMatch(
      /x\.png was not written: the file would be larger than this system allows/,
    );
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('contactSheet', () => {
  const dark = (data: Buffer, width: number, box: readonly [number, number, number, number]) => {
    let count = 0;
    for (let y = box[1]; y < box[3]; y++) {
      for (let x = box[0]; x < box[2]; x++) if (data[3 * (y * width + x)]! < 100) count++;
    }
    return count;
  };

  it('places every picture, enlarged by a whole factor, and writes titles and labels', async () => {
    const other = await set.pixels(1);
    const png = await contactSheet([picture, other, other, picture], {
      columns: ['boy', 'officer'],
      rows: ['before', 'after'],
      labels: ['a', 'b < c & d', 'e', 'f'],
      scale: 2,
    });
    const { data, info } = await pixelsOf(png);
    const [left, top] = [8 + 128, 8 + 17];
    expect(info).toMatchObject({
      width: left + 2 * 136,
      height: top + 2 * (128 + 17 + 8),
      channels: 3,
    });
    const { data: stored } = await set.decode(0);
    for (const [x, y] of [
      [0, 0],
      [17, 40],
      [63, 63],
    ] as const) {
      const at = 3 * ((top + 2 * y) * info.width + left + 2 * x);
      expect([...data.subarray(at, at + 3)]).toEqual([
        ...stored.subarray(3 * (y * 64 + x), 3 * (y * 64 + x) + 3),
      ]);
    }
    expect(dark(data, info.width, [left, 8, left + 128, top])).toBeGreaterThan(20);
    expect(dark(data, info.width, [8, top, 128, top + 128])).toBeGreaterThan(20);
    expect(dark(data, info.width, [left, top + 128, left + 128, top + 145])).toBeGreaterThan(8);
  });

  it('centres smaller pictures and needs no labels', async () => {
    const black = ndarray(new Uint8Array(4 * 4 * 3), [4, 4, 3]);
    const { data, info } = await pixelsOf(await contactSheet([picture, black], { scale: 1 }));
    expect([info.width, info.height]).toEqual([8 + 2 * 72, 8 + 72]);
    expect(dark(data, info.width, [80, 8, 144, 72])).toBe(16);
    expect(data[3 * (38 * info.width + 110)]).toBe(0);
  });

  it('survives long and odd labels', async () => {
    const labels = [
      'x'.repeat(500),
      'word '.repeat(100),
      '\u0000\u0007<svg>&amp;]]>',
      '猫 Żółć 🚀',
    ];
    const png = await contactSheet([picture, picture, picture, picture], { labels });
    const { info } = await pixelsOf(png);
    expect(info.height).toBe(8 + 128 + 3 * 17 + 8);
  });

  it('draws letters of its own where the machine has no font', async () => {
    const folder = folderOf({ 'fonts.conf': '<?xml version="1.0"?><fontconfig></fontconfig>' });
    const script = `
      import { contactSheet, writePng } from '@sdft/data/node';
      import ndarray from 'ndarray';
      const white = ndarray(new Uint8Array(128 * 128 * 3).fill(255), [128, 128, 3]);
      await writePng(process.argv[1], await contactSheet([white, white], { labels: ['WWWW', 'iiii'] }));`;
    const path = join(folder, 'x.png');
    const node = ['--conditions=@sdft/source', '--input-type=module', '--eval', script, path];
    const environment = { ...process.env, FONTCONFIG_FILE: join(folder, 'fonts.conf') };
    const run = spawnSync(process.execPath, node, {
      cwd: join(import.meta.dirname, '..'),
      encoding: 'utf8',
      env: environment,
    });
    expect(run.stderr).toBe('');
    const { data, info } = await pixelsOf(readFileSync(path));
    const [wide, thin] = [8, 144].map((x) => dark(data, info.width, [x, 136, x + 128, 153]));
    // Boxes for unknown letters would be equally dark.
    expect(wide! > 1.5 * thin! && thin! > 20).toBe(true);
  });

  it('refuses what does not fit', async () => {
    await expect(contactSheet([])).rejects.toThrow('one picture or more');
    await expect(contactSheet([picture], { labels: ['a', 'b'] })).rejects.toThrow(
      '2 labels for 1 pictures',
    );
    await expect(contactSheet([picture], { rows: ['a', 'b'] })).rejects.toThrow(
      '2 row titles for 1 rows',
    );
    await expect(contactSheet([picture], { columns: 0 })).rejects.toThrow(
      'columns must be a whole number',
    );
    await expect(contactSheet([picture], { scale: 0.5 })).rejects.toThrow(
      'scale must be a whole number',
    );
    await expect(contactSheet([picture], { scale: 300 })).rejects.toThrow('a side may have 16384');
  });
});

describe('the letters of dots', () => {
  it('has every printable character once, and a box for the rest', () => {
    const printable = Array.from({ length: 95 }, (_, at) => String.fromCharCode(32 + at));
    const paths = printable.map((character) => dotPath(character));
    expect(new Set(paths).size).toBe(95);
    expect(paths[0]).toBe('');
    expect(dotPath('猫')).toBe(dotPath('é'));
    expect(paths).not.toContain(dotPath('猫'));
  });

  it('is readable', () => {
    const dots = new Set(
      [...dotPath('F').matchAll(/M(\d+) (\d+)h/g)].map(([, x, y]) => `${x} ${y}`),
    );
    const drawn = Array.from({ length: 7 }, (_, y) =>
      Array.from({ length: 5 }, (_, x) => (dots.has(`${x} ${y}`) ? '#' : '.')).join(''),
    );
    expect(drawn).toEqual(['#####', '#....', '#....', '####.', '#....', '#....', '#....']);
  });
});
