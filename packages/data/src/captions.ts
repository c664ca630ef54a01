import { UserError } from './errors.ts';

const LONGEST = 65_536;

/**
 * The caption that a file's name stands for where it has no `.txt`: its stem without the number in front. A1111's rule
 * (`modules/textual_inversion/dataset.py`, `^[-\d]+\s*`): `00_chelsea` gives `_chelsea`, `0012-3 a cat` gives `a cat`.
 */
export function filewordsOf(stem: string): string {
  return stem.replace(/^[-\p{Nd}]+\s*/u, '');
}

/**
 * The text of a caption or template file: UTF-8 with or without a byte order mark, Windows line ends made plain, white space around
 * it cut. An empty file is an empty text.
 * @throws UserError when it is not UTF-8 or longer than 64 KiB.
 */
export function decodeText(bytes: Uint8Array, path: string): string {
  if (bytes.length > LONGEST) {
    throw new UserError(
      `${path} is ${bytes.length} bytes long; a caption file holds at most ${LONGEST}`,
    );
  }
  const utf16 =
    (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  try {
    if (utf16) throw new TypeError('a byte order mark of UTF-16');
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return text.replace(/\r\n?/g, '\n').trim();
  } catch {
    throw new UserError(
      `${path} is not UTF-8${utf16 ? ' but UTF-16' : ''}: save it again as UTF-8`,
    );
  }
}
