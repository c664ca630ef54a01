import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import type { Interpolation } from '../src/index.ts';
import { toPixels } from '../src/index.ts';
import { decodePicture, readSize } from '../src/node/decode.ts';
import { fixtures, folderOf, goldens, readF32 } from './folders.ts';

const rgb = async (path: string) => sharp(path).raw().toBuffer();
const decoded = async (
  path: string,
  width: number,
  height = width,
  interpolation: Interpolation = 'bicubic',
) => Buffer.from((await decodePicture(path, { width, height, interpolation })).data);
const written = (content: Uint8Array, name = 'x.png') => join(folderOf({ [name]: content }), name);

function difference(a: Uint8Array, b: Uint8Array): { rms: number; most: number } {
  expect(a.length).toBe(b.length);
  let [squares, most] = [0, 0];
  a.forEach((value, index) => {
    const error = Math.abs(value - b[index]!);
    squares += error * error;
    most = Math.max(most, error);
  });
  return { rms: Math.sqrt(squares / a.length), most };
}

describe('pictures of the right size', () => {
  it('give exactly the pixels of the reference', async () => {
    const expected = await readF32(join(goldens, 'pixels.safetensors'));
    expect(expected.size).toBe(7);
    for (const [name, pixels] of expected) {
      const fit = { width: 64, height: 64, interpolation: 'bicubic' } as const;
      const picture = toPixels(await decodePicture(join(goldens, name), fit));
      expect(picture.shape).toEqual([3, 64, 64]);
      expect(picture.data, name).toEqual(pixels);
    }
  });

  it('keep their bytes, whatever the interpolation', async () => {
    const path = join(fixtures, 'source.png');
    for (const interpolation of ['bilinear', 'bicubic', 'lanczos'] as const) {
      expect((await decoded(path, 192, 128, interpolation)).equals(await rgb(path))).toBe(true);
    }
  });

  it('keep their bytes when only cropped', async () => {
    const path = join(fixtures, 'source.png');
    const middle = await sharp(path)
      .extract({ left: 32, top: 0, width: 128, height: 128 })
      .raw()
      .toBuffer();
    expect((await decoded(path, 128)).equals(middle)).toBe(true);
  });
});

describe('resampling against PIL (fixtures/data, 0..255)', () => {
  // The source is a mosaic of sharp 64-pixel pictures with hard seams, harsher than a photograph. Measured, RMS (largest):
  // to 96, 48 and 41x64 .43-.51 (5), to 24, where libvips averages whole pixels first, .84-.96 (8), enlarged .32-.46 (3).
  // lanczos enlarges with bicubic, which libvips has in its place: 1.97 (21).
  const limits: Readonly<Record<string, number>> = {
    96: 0.6,
    48: 0.6,
    41: 0.6,
    24: 1.1,
    160: 0.55,
  };
  const names = readdirSync(fixtures).filter((name) =>
    /^(bilinear|bicubic|lanczos)-\d+x\d+\.png$/.test(name),
  );

  it('has fixtures', () => {
    expect(names).toHaveLength(13);
  });

  it.each(names)('%s', async (name) => {
    const [, kernel, width, height] = /^(\w+)-(\d+)x(\d+)/.exec(name)!;
    const ours = await decoded(
      join(fixtures, 'source.png'),
      Number(width),
      Number(height),
      kernel as Interpolation,
    );
    const { rms } = difference(ours, await rgb(join(fixtures, name)));
    expect(rms).toBeLessThan(name === 'lanczos-160x160.png' ? 2.2 : limits[width!]!);
    expect(rms).toBeGreaterThan(0);
  });
});

describe('EXIF orientation', () => {
  const [width, height] = [24, 16];
  /** Where the displayed pixel (x, y) is stored, by the definition of the tag (EXIF 2.3, 4.6.4 A: 0th row and 0th column). */
  const stored: readonly ((x: number, y: number) => readonly [number, number])[] = [
    (x, y) => [x, y],
    (x, y) => [width - 1 - x, y],
    (x, y) => [width - 1 - x, height - 1 - y],
    (x, y) => [x, height - 1 - y],
    (x, y) => [y, x],
    (x, y) => [y, height - 1 - x],
    (x, y) => [width - 1 - y, height - 1 - x],
    (x, y) => [width - 1 - y, x],
  ];
  const raw = Buffer.from(
    Array.from({ length: width * height }, (_, at) => [
      10 * (at % width),
      15 * Math.floor(at / width),
      128,
    ]).flat(),
  );

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('%d', async (orientation) => {
    const file = await sharp(raw, { raw: { width, height, channels: 3 } })
      .withMetadata({ orientation })
      .webp({ lossless: true })
      .toBuffer();
    expect((await sharp(file).metadata()).orientation).toBe(orientation);
    const path = written(file, 'x.webp');
    const turned = orientation >= 5;
    const [across, down] = turned ? [height, width] : [width, height];
    expect(await readSize(path)).toEqual({ width: across, height: down });

    const pixel = (x: number, y: number) => {
      const [column, row] = stored[orientation - 1]!(x, y);
      return [...raw.subarray(3 * (row * width + column), 3 * (row * width + column) + 3)];
    };
    const whole = await decoded(path, across, down);
    const [left, top] = turned ? [0, 4] : [4, 0];
    const square = await decoded(path, 16);
    for (let y = 0; y < down; y++) {
      for (let x = 0; x < across; x++) {
        const at = 3 * (y * across + x);
        expect([...whole.subarray(at, at + 3)]).toEqual(pixel(x, y));
      }
    }
    for (let y = 0; y < 16; y++) {
      for (let x = 0; x < 16; x++) {
        const at = 3 * (y * 16 + x);
        expect([...square.subarray(at, at + 3)]).toEqual(pixel(x + left, y + top));
      }
    }
    // Resized, each corner still has the colour it is displayed with.
    const small = await decoded(path, 8);
    expect(Math.abs(small[0]! - pixel(left + 1, top + 1)[0]!)).toBeLessThan(16);
    expect(Math.abs(small[1]! - pixel(left + 1, top + 1)[1]!)).toBeLessThan(16);
  });
});

describe('other kinds of pixels become 8-bit sRGB', () => {
  it('alpha lies on white', async () => {
    const bytes = [...(await decoded(join(fixtures, 'palette-alpha.png'), 24, 8))];
    const at = (x: number) => bytes.slice(3 * (4 * 24 + x), 3 * (4 * 24 + x) + 3);
    expect(at(1)).toEqual([255, 0, 0]);
    expect(at(22)).toEqual([255, 255, 255]);
    expect(
      at(12).map((value) => Math.abs(value - [127, 255, 127][at(12).indexOf(value)]!) < 40),
    ).not.toContain(false);
  });

  it('half transparent is half white', async () => {
    const file = await sharp({
      create: { width: 8, height: 8, channels: 4, background: { r: 0, g: 0, b: 255, alpha: 0.5 } },
    })
      .png()
      .toBuffer();
    const [r, g, b] = await decoded(written(file), 8);
    expect([r! >= 126 && r! <= 128, g! >= 126 && g! <= 128, b]).toEqual([true, true, 255]);
  });

  it('16-bit greyscale keeps its upper byte', async () => {
    const path = written(
      await sharp(join(fixtures, 'grey16.png'))
        .resize(256, 16, { fit: 'fill', kernel: 'nearest' })
        .toColourspace('grey16')
        .png()
        .toBuffer(),
    );
    expect((await sharp(path).metadata()).depth).toBe('ushort');
    const bytes = await decoded(path, 256, 16);
    for (let x = 0; x < 256; x++) expect([...bytes.subarray(3 * x, 3 * x + 3)]).toEqual([x, x, x]);
  });

  it('16-bit colour keeps its upper byte', async () => {
    const path = written(
      await sharp(join(fixtures, 'source.png')).toColourspace('rgb16').png().toBuffer(),
    );
    expect((await sharp(path).metadata()).depth).toBe('ushort');
    expect((await decoded(path, 192, 128)).equals(await rgb(join(fixtures, 'source.png')))).toBe(
      true,
    );
  });

  it('greyscale with alpha', async () => {
    const grey = await sharp(Buffer.from([100, 255, 100, 0]), {
      raw: { width: 2, height: 1, channels: 2 },
    })
      .resize(16, 8, { fit: 'fill', kernel: 'nearest' })
      .png()
      .toBuffer();
    const bytes = await decoded(written(grey), 16, 8);
    expect([...bytes.subarray(0, 3)]).toEqual([100, 100, 100]);
    expect([...bytes.subarray(45, 48)]).toEqual([255, 255, 255]);
  });

  it('CMYK ink', async () => {
    const path = join(fixtures, 'cmyk.jpg');
    expect((await sharp(path).metadata()).space).toBe('cmyk');
    const bytes = await decoded(path, 48, 16);
    const at = (x: number) => [...bytes.subarray(3 * (8 * 48 + x), 3 * (8 * 48 + x) + 3)];
    expect(Math.min(...at(8))).toBeGreaterThan(250);
    const [r, g, b] = at(24);
    expect(r! < 80 && g! > 100 && b! > 180).toBe(true);
    expect(Math.max(...at(40))).toBeLessThan(60);
  });

  it('an embedded sRGB profile changes nothing', async () => {
    const ours = await decoded(join(fixtures, 'srgb-profile.png'), 192, 128);
    expect(difference(ours, await rgb(join(fixtures, 'source.png'))).most).toBeLessThanOrEqual(1);
  });

  it('a wide-gamut profile is left aside where the picture has the size already, with a remark', async () => {
    // Adobe RGB (1998); the reference's pixels of it are the stored ones.
    const path = join(goldens, 'images/01_rocket.png');
    const fit = { width: 64, height: 64, interpolation: 'bicubic' } as const;
    const stored = await sharp(path, { ignoreIcc: true }).raw().toBuffer();
    const { data, remark } = await decodePicture(path, fit);
    expect(stored.equals(data)).toBe(true);
    expect(remark).toContain('its colour profile is left aside');
    expect(
      (await decodePicture(join(goldens, 'images/03_chelsea.png'), fit)).remark,
    ).toBeUndefined();
  });

  it('a wide-gamut profile is converted', async () => {
    const red = { create: { width: 9, height: 8, channels: 3, background: '#c02020' } } as const;
    const file = await sharp(red).withIccProfile('p3').png().toBuffer();
    const stored = await sharp(file, { ignoreIcc: true }).raw().toBuffer();
    expect(stored[0]).not.toBe(0xc0);
    const [r, g, b] = await decoded(written(file), 8);
    for (const [ours, colour] of [
      [r!, 0xc0],
      [g!, 0x20],
      [b!, 0x20],
    ] as const) {
      expect(Math.abs(ours - colour)).toBeLessThanOrEqual(2);
    }
  });
});

describe('bad files are named', () => {
  const source = join(fixtures, 'source.png');
  const refused = (path: string, message: string) =>
    expect(
      decodePicture(path, { width: 64, height: 64, interpolation: 'bicubic' }),
    ).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(new RegExp(`^${path.replace(/[/.]/g, '\\$&')} ${message}`)),
    });

  it.each(['jpeg', 'png', 'webp'] as const)('a %s cut short anywhere', async (format) => {
    const whole = await sharp(source).toFormat(format).toBuffer();
    for (const part of [0.05, 0.3, 0.6, 0.9, 0.99]) {
      const cut = whole.subarray(0, Math.floor(whole.length * part));
      await refused(written(cut, `cut.${format}`), 'is broken or cut short');
    }
  });

  it('a jpeg with a hole in its data, which decodes to something', async () => {
    const whole = await sharp(source).jpeg().toBuffer();
    whole.fill(0xff, whole.length / 2, whole.length / 2 + 400);
    const fit = { width: 64, height: 64, interpolation: 'bicubic' } as const;
    expect((await decodePicture(written(whole, 'hole.jpg'), fit)).remark).toMatch(
      /^may be damaged \(.*orrupt/,
    );
    expect((await decodePicture(source, fit)).remark).toBeUndefined();
  });

  it('a png with a wrong checksum', async () => {
    const whole = await sharp(source).png().toBuffer();
    whole[whole.length >> 1]! ^= 0x55;
    await refused(written(whole), 'is broken or cut short');
  });

  it('an empty file', () => refused(written(new Uint8Array(0)), 'is empty \\(0 bytes\\)'));
  it('a file that is not there', () =>
    refused(join(folderOf(), 'gone.png'), 'cannot be read: ENOENT'));

  it('another format behind the name', async () => {
    await refused(
      written(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')),
      'holds no jpeg, png or webp',
    );
    await refused(
      written(await sharp(source).gif().toBuffer()),
      "holds no jpeg.*starts with 'GIF89a",
    );
    await refused(
      written(Buffer.from('<!DOCTYPE html>'), 'x.jpg'),
      "holds no jpeg.*'<!DOCTYPE ht'",
    );
  });

  it('a header that promises a terabyte', async () => {
    const file = Buffer.from(readFileSync(source));
    file.writeUInt32BE(1_000_000, 16);
    file.writeUInt32BE(1_000_000, 20);
    await expect(readSize(written(file))).rejects.toMatchObject({ name: 'UserError' });
  });

  it('a strip', async () => {
    const strip = await sharp({ create: { width: 900, height: 9, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    await refused(written(strip), 'is 900 x 9 pixels: a centre crop would keep next to nothing');
  });
});
