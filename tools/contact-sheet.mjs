// Lays pictures out in rows, two groups side by side, to be compared with the eyes.
import sharp from 'sharp';

const GAP = 4;
const DIVIDER = 24;

/**
 * @typedef {{ before: readonly string[], after: readonly string[] }} Row paths of pictures; the same number in every row
 */

/**
 * Writes one picture: a row for each prompt, what was drawn before on the left, after on the right.
 * @param {readonly Row[]} rows
 * @param {string} out path of the PNG to write
 * @param {number} [cell] edge of one picture in pixels
 */
export async function contactSheet(rows, out, cell = 128) {
  const columns = rows[0]?.before.length ?? 0;
  if (columns === 0) throw new Error('internal: a contact sheet of no pictures');
  const step = cell + GAP;
  const half = columns * step;
  /** @param {string} path @param {number} left @param {number} top */
  const place = async (path, left, top) => ({
    input: await sharp(path)
      .resize(cell, cell, { fit: 'contain', background: 'white' })
      .png()
      .toBuffer(),
    left,
    top,
  });
  const tiles = rows.flatMap(({ before, after }, row) => [
    ...before.map((path, i) => place(path, GAP + i * step, GAP + row * step)),
    ...after.map((path, i) => place(path, GAP + half + DIVIDER + i * step, GAP + row * step)),
  ]);
  const height = rows.length * step + GAP;
  const line = {
    create: { width: 2, height, channels: /** @type {const} */ (3), background: '#333333' },
  };
  await sharp({
    create: { width: 2 * half + DIVIDER + GAP, height, channels: 3, background: 'white' },
  })
    .composite([
      ...(await Promise.all(tiles)),
      { input: await sharp(line).png().toBuffer(), left: half + DIVIDER / 2, top: 0 },
    ])
    .png()
    .toFile(out);
}
