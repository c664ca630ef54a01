/**
 * @file Writes packages/nano/held-out: eight pictures by each of the base's artists that nothing was trained on, with their captions, spread evenly over those that are kept back:
 * `node --conditions=@sdft/source tools/nano/data/heldOut.ts`, after data/render.ts.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { heldOut } from '@sdft/nano';
import { artistNames, unseen } from './artwork.ts';
import { promptOf } from './captions.ts';
import { readPack, SIDE } from './pack.ts';

const EACH = 8;

const pack = readPack(fileURLToPath(new URL('../.cache/pictures.pack', import.meta.url)));
rmSync(heldOut, { recursive: true, force: true });
mkdirSync(heldOut, { recursive: true });
for (const artist of artistNames.filter((name) => name !== unseen)) {
  const kept = pack.pictures.flatMap((picture, index) =>
    picture.use === 'kept pair' && picture.artist === artist ? [{ ...picture, index }] : [],
  );
  for (let i = 0; i < EACH; i++) {
    const { concept, label, index } = kept[Math.floor(((i + 0.5) * kept.length) / EACH)]!;
    const raw = { width: SIDE, height: SIDE, channels: 3 } as const;
    const path = fileURLToPath(new URL(`${artist}-${concept}`, heldOut));
    await sharp(pack.pixels(index), { raw }).png({ compressionLevel: 9 }).toFile(`${path}.png`);
    writeFileSync(`${path}.txt`, `${promptOf(artist, label)}\n`);
  }
}
