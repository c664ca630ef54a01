/**
 * @file Draws the sheet of samples: `node --conditions=@sdft/source tools/nano/model/sheet.ts MODEL SHEET.png`. A row for each concept, a column for each of the base's artists, whose number is
 * the seed: nothing is chosen. With `--prompts` rows are the texts that follow, and columns seeds 0 to 4.
 */
import { openBase, openGenerator, type GenerateOptions } from '@sdft/methods';
import sharp, { type OverlayOptions } from 'sharp';
import { artistNames, unseen } from '../data/artwork.ts';
import { promptOf } from '../data/captions.ts';
import { SIDE } from '../data/pack.ts';

const concepts = [
  ...['boy', 'woman', 'police officer', 'astronaut', 'grinning face', 'cat face'],
  ...['dog', 'horse', 'red apple', 'pizza', 'house', 'rocket'],
];
/** Pixels of a side on the sheet. */
const SHOWN = 2 * SIDE;
const options: GenerateOptions = { steps: 25, sampler: 'ddim', cfg: 4 };

const [model, file, flag, ...texts] = process.argv.slice(2) as [string, string, ...string[]];
const artists = artistNames.filter((artist) => artist !== unseen);
const rows =
  flag === '--prompts'
    ? texts.map((text) => artists.map(() => text))
    : concepts.map((concept) => artists.map((artist) => promptOf(artist, concept)));
await using generator = await openGenerator(await openBase(model));
const pictures: OverlayOptions[] = [];
for (const [y, row] of rows.entries())
  for (const [x, prompt] of row.entries()) {
    const [made] = await generator.generate(prompt, { ...options, seed: x });
    const raw = { width: SIDE, height: SIDE, channels: 3 } as const;
    const input = await sharp(made!.picture.data, { raw })
      .resize(SHOWN, SHOWN, { kernel: 'nearest' })
      .png()
      .toBuffer();
    pictures.push({ input, left: x * SHOWN, top: y * SHOWN });
  }
const size = { width: artists.length * SHOWN, height: rows.length * SHOWN };
await sharp({ create: { ...size, channels: 3, background: '#fff' } })
  .composite(pictures)
  .png()
  .toFile(file);
