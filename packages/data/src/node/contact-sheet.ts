import sharp from 'sharp';
import type { OverlayOptions } from 'sharp';
import { UserError } from '../errors.ts';
import type { Picture, Rgb } from '../pixels.ts';
import { toRgb } from '../pixels.ts';
import { lettering, LINE, svg, wrapped } from './lettering.ts';
import type { Lettering } from './lettering.ts';

/** How a contact sheet is laid out. */
export interface SheetOptions {
  /** How many pictures stand side by side, or the titles above them. Default: one row for up to 6 pictures, else a square. */
  readonly columns?: number | readonly string[] | undefined;
  /** Titles left of the rows, from the top. */
  readonly rows?: readonly string[] | undefined;
  /** A label below each picture, in the pictures' order. */
  readonly labels?: readonly string[] | undefined;
  /** Whole factor that pictures are enlarged by, pixel for pixel. Default: as much as makes the cells 128 pixels wide or more. */
  readonly scale?: number | undefined;
}

const GAP = 8;
const ROW_TITLE = 120;
const MOST_LINES = 3;
/** A sheet side that PNG readers still open. */
const LARGEST_SIDE = 16_384;

/**
 * Pictures in a labelled grid, row by row, as the bytes of a PNG file; `writePng` writes it.
 *
 *     contactSheet([...before, ...after], { rows: ['before', 'after'], columns: prompts })
 *
 * Cells are as large as the largest picture; smaller ones are centred. Labels are cut after three lines.
 * @throws UserError when there are no pictures, titles or labels are more than what they belong to, or the sheet would be
 * larger than 16,384 pixels.
 */
export async function contactSheet(
  pictures: readonly Picture[],
  options: SheetOptions = {},
): Promise<Uint8Array> {
  if (pictures.length === 0) throw new UserError('a contact sheet needs one picture or more');
  const columns = columnCount(options.columns, pictures.length);
  requireFit(pictures.length, columns, options);
  const rgb = pictures.map(toRgb);
  const letters = await lettering();
  const sheet = layout(rgb, columns, options, letters);
  if (Math.max(sheet.width, sheet.height) > LARGEST_SIDE) {
    throw new UserError(
      `the contact sheet would be ${sheet.width} x ${sheet.height} pixels; a side may have ${LARGEST_SIDE}: make several`,
    );
  }
  const placed = await Promise.all(rgb.map((picture, index) => sheet.place(picture, index)));
  const labels = Buffer.from(svg(sheet.width, sheet.height, sheet.text));
  const { width, height } = sheet;
  return sharp({ create: { width, height, channels: 3, background: '#ffffff' } })
    .composite([...placed, { input: labels, left: 0, top: 0 }])
    .removeAlpha()
    .png()
    .toBuffer();
}

function columnCount(columns: SheetOptions['columns'], count: number): number {
  if (typeof columns === 'object') return Math.max(1, columns.length);
  const wanted = columns ?? (count <= 6 ? count : Math.ceil(Math.sqrt(count)));
  if (Number.isSafeInteger(wanted) && wanted >= 1) return wanted;
  throw new UserError(`columns must be a whole number, 1 or more, or titles, not ${wanted}`);
}

function requireFit(count: number, columns: number, { rows, labels, scale }: SheetOptions): void {
  const rowCount = Math.ceil(count / columns);
  if (rows !== undefined && rows.length > rowCount) {
    throw new UserError(
      `${rows.length} row titles for ${rowCount} rows (${count} pictures in ${columns} columns)`,
    );
  }
  if (labels !== undefined && labels.length > count) {
    throw new UserError(`${labels.length} labels for ${count} pictures`);
  }
  if (scale !== undefined && !(Number.isSafeInteger(scale) && scale >= 1)) {
    throw new UserError(`scale must be a whole number, 1 or more, not ${scale}`);
  }
}

interface Sheet {
  readonly width: number;
  readonly height: number;
  /** SVG of every title and label. */
  readonly text: string;
  place(picture: Rgb, index: number): Promise<OverlayOptions>;
}

function layout(
  pictures: readonly Rgb[],
  columns: number,
  options: SheetOptions,
  letters: Lettering,
): Sheet {
  const { rows: rowTitles = [], labels = [] } = options;
  const columnTitles = typeof options.columns === 'object' ? options.columns : [];
  const [widest, tallest] = [largest(pictures, 'width'), largest(pictures, 'height')];
  const scale = options.scale ?? Math.max(1, Math.ceil(128 / widest));
  const [cellWidth, cellHeight] = [widest * scale, tallest * scale];
  const split = (text: string, width = cellWidth) => wrapped(text, width, MOST_LINES, letters);

  const rowCount = Math.ceil(pictures.length / columns);
  const headLines = columnTitles.map((title) => split(title));
  const sideLines = rowTitles.map((title) => split(title, ROW_TITLE));
  const labelLines = labels.map((label) => split(label));
  const head = LINE * mostLines(headLines);
  const side = rowTitles.length > 0 ? ROW_TITLE + GAP : 0;
  const label = LINE * mostLines(labelLines);
  const left = (column: number) => GAP + side + column * (cellWidth + GAP);
  const top = (row: number) => GAP + head + row * (cellHeight + label + GAP);

  const lines = (texts: readonly string[], x: number, y: number, bold: boolean) =>
    texts.map((text, line) => letters.line(text, x, y + (line + 1) * LINE - 4, bold)).join('');
  const middle = (column: number) => left(column) + cellWidth / 2;
  const text = [
    ...headLines.map((texts, column) => lines(texts, middle(column), GAP, true)),
    ...sideLines.map((texts, row) =>
      lines(texts, GAP + ROW_TITLE / 2, top(row) + (cellHeight - texts.length * LINE) / 2, true),
    ),
    ...labelLines.map((texts, index) =>
      lines(texts, middle(index % columns), top(Math.floor(index / columns)) + cellHeight, false),
    ),
  ].join('');

  return {
    width: left(columns),
    height: top(rowCount),
    text,
    place: async ({ data, width, height }, index) => ({
      input: await sharp(data, { raw: { width, height, channels: 3 } })
        .resize(width * scale, height * scale, { kernel: 'nearest' })
        .png()
        .toBuffer(),
      left: left(index % columns) + Math.floor((cellWidth - width * scale) / 2),
      top: top(Math.floor(index / columns)) + Math.floor((cellHeight - height * scale) / 2),
    }),
  };
}

function largest(pictures: readonly Rgb[], side: 'width' | 'height'): number {
  return Math.max(...pictures.map((picture) => picture[side]));
}

function mostLines(texts: readonly (readonly string[])[]): number {
  return Math.max(0, ...texts.map((lines) => lines.length));
}
