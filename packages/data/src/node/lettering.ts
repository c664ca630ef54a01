import sharp from 'sharp';
import { ADVANCE, ASCENT, dotPath } from '../pixel-font.ts';

/** How labels are drawn on this machine. */
export interface Lettering {
  /** Pixels that a letter takes, about. */
  readonly advance: number;
  /** SVG of one line, centred at `x`, standing on `y`. */
  line(text: string, x: number, y: number, bold: boolean): string;
}

/** Height of a line of labels in pixels. */
export const LINE = 17;

const FONT_SIZE = 13;
const DOT = 1.25;

const systemFont: Lettering = {
  advance: 0.6 * FONT_SIZE,
  line: (text, x, y, bold) =>
    `<text x="${x}" y="${y}" text-anchor="middle" font-weight="${bold ? 'bold' : 'normal'}">${escaped(text)}</text>`,
};

const dots: Lettering = {
  advance: ADVANCE * DOT,
  line: (text, x, y) => {
    const left = x - ([...text].length * ADVANCE * DOT) / 2;
    const top = y - ASCENT * DOT;
    return `<path transform="translate(${left} ${top}) scale(${DOT})" d="${dotPath(text)}"/>`;
  },
};

let found: Promise<Lettering> | undefined;

/** The system's sans-serif font, or letters of dots where there is no font. Looked up once. */
export function lettering(): Promise<Lettering> {
  found ??= hasFont().then((yes) => (yes ? systemFont : dots));
  return found;
}

/** Without fonts every letter is drawn as the same box. */
async function hasFont(): Promise<boolean> {
  const [wide, thin] = await Promise.all(
    ['W', 'i'].map((text) => svgPixels(systemFont.line(text, 12, 18, false))),
  );
  return !wide!.equals(thin!);
}

function svgPixels(body: string): Promise<Buffer> {
  return sharp(Buffer.from(svg(24, 24, body)))
    .raw()
    .toBuffer();
}

/** An SVG document of labels in black on nothing. */
export function svg(width: number, height: number, body: string): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ` +
    `font-family="DejaVu Sans, Arial, Helvetica, sans-serif" font-size="${FONT_SIZE}">${body}</svg>`
  );
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

/** Breaks a label into lines of at most `width` pixels, at most `most` of them; what does not fit becomes an ellipsis. */
export function wrapped(text: string, width: number, most: number, letters: Lettering): string[] {
  const room = Math.max(1, Math.floor(width / letters.advance));
  const lines: string[] = [];
  let line = '';
  // Characters that XML does not allow would make the whole sheet fail.
  const words = text
    .replace(/[\p{Cc}\p{Cs}\uFFFE\uFFFF]/gu, ' ')
    .split(/\s+/)
    .filter((word) => word !== '');
  for (const word of words.flatMap((whole) => pieces(whole, room))) {
    const longer = line === '' ? word : `${line} ${word}`;
    if ([...longer].length <= room) {
      line = longer;
    } else {
      lines.push(line);
      line = word;
    }
  }
  if (line !== '') lines.push(line);
  if (lines.length <= most) return lines;
  const last = [...lines[most - 1]!].slice(0, Math.max(0, room - 3)).join('');
  return [...lines.slice(0, most - 1), `${last}...`];
}

function pieces(word: string, room: number): string[] {
  const letters = [...word];
  const count = Math.ceil(letters.length / room);
  return Array.from({ length: count }, (_, piece) =>
    letters.slice(piece * room, (piece + 1) * room).join(''),
  );
}
