import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, expect, test } from 'vitest';
import { contactSheet } from '../contact-sheet.mjs';

const folder = mkdtempSync(join(tmpdir(), 'sdft-sheet-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function picture(name: string, background: string): Promise<string> {
  const path = join(folder, `${name}.png`);
  await sharp({ create: { width: 8, height: 8, channels: 3, background } })
    .png()
    .toFile(path);
  return path;
}

test('before stands on the left, after on the right, a prompt a row', async () => {
  const [red, green, blue, black] = (await Promise.all(
    ['red', 'lime', 'blue', 'black'].map((colour) => picture(colour, colour)),
  )) as [string, string, string, string];
  const out = join(folder, 'sheet.png');
  await contactSheet(
    [
      { before: [red, red], after: [green, green] },
      { before: [blue, blue], after: [black, black] },
    ],
    out,
    16,
  );

  const { data, info } = await sharp(out).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const at = (x: number, y: number) => [...data.subarray((y * info.width + x) * 3).subarray(0, 3)];
  expect(at(10, 10)).toEqual([255, 0, 0]);
  expect(at(info.width - 10, 10)).toEqual([0, 255, 0]);
  expect(at(10, info.height - 10)).toEqual([0, 0, 255]);
  expect(at(info.width - 10, info.height - 10)).toEqual([0, 0, 0]);
});

test('no pictures: our own fault', async () => {
  await expect(contactSheet([], join(folder, 'none.png'))).rejects.toThrow('internal:');
});
