import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { basename, dirname, join, parse, resolve } from 'node:path';
import sharp from 'sharp';
import { bucketSizes, nearestBucket } from '../buckets.ts';
import { UserError } from '../errors.ts';
import type { Rgb } from '../pixels.ts';
import type { Resolution, Size } from '../resolution.ts';
import { coverOf, sizeOf } from '../resolution.ts';
import type { Interpolation } from '../spec.ts';
import { captionOf } from './caption-files.ts';
import { decodePicture, readSize } from './decode.ts';
import { forAll } from './for-all.ts';
import { scanFolder, some } from './scan.ts';
import { writeWhole } from './whole-file.ts';
import { pngOf } from './write-png.ts';

/**
 * How a picture of another shape gets its size: `crop` scales the shorter side and cuts the longer one evenly, `pad` scales the longer side and fills the rest, `bucket`
 * crops to the nearest of several shapes of the same area, and puts the pictures of each into a folder of its own.
 */
export type PrepareFit = 'crop' | 'pad' | 'bucket';

export interface PrepareOptions {
  /** Pixels: a square, or WIDTHxHEIGHT. */
  readonly resolution: Resolution;
  /** Default `crop`. */
  readonly fit?: PrepareFit | undefined;
  /** What `pad` fills with, `#rrggbb`; transparent parts of pictures become white. Default white. */
  readonly background?: string | undefined;
  /** Default `lanczos`. */
  readonly interpolation?: Interpolation | undefined;
  /** The caption of pictures that have no file with one. Default: what their names say. */
  readonly caption?: string | undefined;
  /** Comes before every caption, with a comma between. */
  readonly prefix?: string | undefined;
  /** `long_hair` in a caption becomes `long hair`, as taggers write and captions read. */
  readonly underscoresToSpaces?: boolean | undefined;
  /** Write into a folder that holds something, and over files of the same names. */
  readonly force?: boolean | undefined;
  /** Called after each picture. */
  readonly onPicture?: ((done: number, total: number) => void) | undefined;
}

/** What became of a picture. */
export interface PreparedPicture {
  /** Its file name before, and its path in the new folder. */
  readonly from: string;
  readonly file: string;
  /** Pixels before, EXIF orientation applied, and now. */
  readonly was: Size;
  readonly size: Size;
  /** Pixels now over pixels before, of a side; above 1 it was enlarged. */
  readonly scale: number;
  /** Part of its area that was cut away, 0..1. */
  readonly cut: number;
  readonly caption: string;
  readonly captionFrom: 'file' | 'name' | 'given';
}

export interface PrepareReport {
  readonly pictures: readonly PreparedPicture[];
  /** For people: enlarged, much cut, twice there, damaged. */
  readonly warnings: readonly string[];
}

/** Of a picture that loses more than this part of its area, a person should know. */
const MUCH = 0.3;

/**
 * Makes pictures ready for training: upright, sRGB, of one size, PNG, each with a caption in a `.txt` beside it. The folder appears whole or not at all; the pictures themselves are left
 * as they are.
 *
 * @throws UserError for settings out of range, where pictures or captions cannot be read (all of them named at once), where the folder holds something and `force` is not set,
 * where it is the folder of the pictures, or the machine refuses
 */
export async function prepareFolder(
  from: string,
  to: string,
  options: PrepareOptions,
): Promise<PrepareReport> {
  const { force = false, onPicture } = options;
  const plan = planOf(options);
  if (resolve(from) === resolve(to))
    throw new UserError(`${to} holds the pictures themselves: name another folder`);
  if (!force && holdsSomething(to))
    throw new UserError(`${to} exists already: choose another name, or force it to be overwritten`);
  const scan = await scanFolder(from);
  const names = namesFor(scan.pictures);
  const unfinished = join(
    dirname(resolve(to)),
    `.${basename(to)}.${randomUUID().slice(0, 8)}.part`,
  );
  const remove = (): void => rmSync(unfinished, { recursive: true, force: true });
  process.once('exit', remove);
  try {
    const remarks: string[] = [];
    const digests = new Map<string, string[]>();
    let done = 0;
    const pictures = await forAll(scan.pictures, from, async (name, i) => {
      const path = join(from, name);
      const caption = await captionFor(from, name, scan, options);
      const was = await readSize(path);
      const { rgb, remark, ...placed } = await plan.place(path, was);
      if (remark !== undefined) remarks.push(`${path} ${remark}`);
      const stem = join(placed.folder, names[i]!);
      await writeWhole(join(unfinished, `${stem}.png`), await pngOf(rgb));
      await writeWhole(join(unfinished, `${stem}.txt`), Buffer.from(`${caption.text}\n`));
      const digest = createHash('sha256').update(rgb.data).digest('hex');
      digests.set(digest, [...(digests.get(digest) ?? []), name]);
      onPicture?.(++done, scan.pictures.length);
      const { width, height } = rgb;
      return Object.freeze({
        ...{ from: name, file: `${stem}.png`, was, size: { width, height } },
        ...{ scale: placed.scale, cut: placed.cut },
        ...{ caption: caption.text, captionFrom: caption.from },
      });
    });
    await publish(unfinished, to, pictures);
    return {
      pictures,
      warnings: [
        ...scan.warnings,
        ...remarks,
        ...warningsOf(pictures),
        ...[...digests.values()]
          .filter(({ length }) => length > 1)
          .map((same) => `the same picture, which counts that many times: ${some(same)}`),
      ],
    };
  } finally {
    remove();
    process.off('exit', remove);
  }
}

interface Placed {
  readonly rgb: Rgb;
  readonly remark?: string | undefined;
  /** Inside the new folder; '' for itself. */
  readonly folder: string;
  readonly scale: number;
  readonly cut: number;
}

/** How pictures get their size. */
function planOf({ resolution, fit = 'crop', background = '#ffffff', ...rest }: PrepareOptions): {
  place(path: string, was: Size): Promise<Placed>;
} {
  const size = sizeOf(resolution);
  const { interpolation = 'lanczos' } = rest;
  if (!/^#[0-9a-f]{6}$/i.test(background))
    throw new UserError(`the background must be a colour such as #ffffff, not '${background}'`);
  const cropped = async (
    path: string,
    was: Size,
    wanted: Size,
  ): Promise<Omit<Placed, 'folder'>> => {
    const { remark, ...rgb } = await decodePicture(path, { ...wanted, interpolation });
    const { scaled } = coverOf(was, wanted);
    const kept = (wanted.width * wanted.height) / (scaled.width * scaled.height);
    return { rgb, remark, scale: scaled.width / was.width, cut: 1 - Math.min(1, kept) };
  };
  if (fit === 'crop')
    return { place: async (path, was) => ({ ...(await cropped(path, was, size)), folder: '' }) };
  if (fit === 'bucket') {
    const buckets = bucketSizes(size);
    return {
      place: async (path, was) => {
        const bucket = nearestBucket(was, buckets);
        const folder = `${bucket.width}x${bucket.height}`;
        return { ...(await cropped(path, was, bucket)), folder };
      },
    };
  }
  return {
    place: async (path, was) => {
      const scale = Math.min(size.width / was.width, size.height / was.height);
      const side = (pixels: number): number => Math.max(1, Math.round(pixels * scale));
      const within = { width: side(was.width), height: side(was.height) };
      const { rgb, remark } = await cropped(path, was, within);
      return { rgb: await padded(rgb, size, background), remark, folder: '', scale, cut: 0 };
    },
  };
}

async function padded(rgb: Rgb, { width, height }: Size, background: string): Promise<Rgb> {
  const [left, top] = [(width - rgb.width) >> 1, (height - rgb.height) >> 1];
  const data = await sharp(rgb.data, {
    raw: { width: rgb.width, height: rgb.height, channels: 3 },
  })
    .extend({
      ...{ left, top, background },
      right: width - rgb.width - left,
      bottom: height - rgb.height - top,
    })
    .raw()
    .toBuffer();
  return { data, width, height };
}

async function captionFor(
  folder: string,
  name: string,
  scan: Parameters<typeof captionOf>[2],
  { caption, prefix, underscoresToSpaces = false }: PrepareOptions,
): Promise<{ readonly text: string; readonly from: 'file' | 'name' | 'given' }> {
  const found = await captionOf(folder, name, scan);
  const { text, from } =
    found.from === 'name' && caption !== undefined
      ? { text: caption, from: 'given' as const }
      : found;
  const plain = underscoresToSpaces ? text.replaceAll('_', ' ').trim() : text;
  return { text: [prefix, plain].filter((part) => part).join(', '), from };
}

/** Stems, each of which occurs once, whatever the file system makes of upper and lower case: `a.jpg` and `A.png` become `a` and `A-2`. */
function namesFor(files: readonly string[]): string[] {
  const taken = new Set<string>();
  const key = (stem: string): string => stem.normalize('NFC').toLowerCase();
  return files.map((file) => {
    const { name } = parse(file);
    let stem = name;
    for (let next = 2; taken.has(key(stem)); next++) stem = `${name}-${next}`;
    taken.add(key(stem));
    return stem;
  });
}

function warningsOf(pictures: readonly PreparedPicture[]): string[] {
  const named = (list: readonly PreparedPicture[]): string =>
    some(list.map(({ from, was }) => `${from} (${was.width} x ${was.height})`));
  const [small, cut] = [
    pictures.filter(({ scale }) => scale > 1),
    pictures.filter((picture) => picture.cut > MUCH),
  ];
  return [
    ...(small.length > 0 ? [`enlarged, which blurs: ${named(small)}`] : []),
    ...(cut.length > 0
      ? [`lose more than ${100 * MUCH} % of their area; pad or bucket keeps it: ${named(cut)}`]
      : []),
  ];
}

function holdsSomething(folder: string): boolean {
  try {
    return readdirSync(folder).length > 0;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false;
    throw new UserError(`${folder} is no folder that can be written`);
  }
}

/** The new folder gets its name; where there is one already, its files get their places. */
async function publish(
  unfinished: string,
  to: string,
  pictures: readonly PreparedPicture[],
): Promise<void> {
  if (!holdsSomething(to)) {
    rmSync(to, { recursive: true, force: true });
    renameSync(unfinished, to);
    return;
  }
  for (const { file } of pictures) {
    mkdirSync(dirname(join(to, file)), { recursive: true });
    for (const path of [file, file.replace(/\.png$/, '.txt')])
      await rename(join(unfinished, path), join(to, path));
  }
}
