/**
 * @file Draws the artwork: `node --conditions=@sdft/source tools/nano/data/render.ts`, after `npm ci` in tools/nano. Writes `.cache/pictures.pack`, and with `--keep` the list of what is kept
 * back anew (`kept-back.json`, which is committed).
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import sharp from 'sharp';
import { outline } from '@sdft/nano';
import { readdirSync } from 'node:fs';
import { type Artist, artistNames, drawings, type Subject, subjects, unseen } from './artwork.ts';
import { isConcept } from './concepts.ts';
import { type PackedPicture, packed, SIDE, type Use } from './pack.ts';

/** Share of the pairs of artist and concept that nothing is trained on, to measure composition. */
const KEPT_PAIRS = 0.04;
/** Share of the unseen artist's other drawings that the autoencoder does not learn either. */
const KEPT_OUTLINES = 0.04;

/** Names of concepts, by artist. */
type KeptBack = Readonly<Record<Artist, readonly string[]>>;
const keptFile = new URL('kept-back.json', import.meta.url);
const cache = new URL('../.cache/', import.meta.url);

interface Drawing {
  readonly artist: Artist;
  readonly subject: Subject;
  readonly svg: string;
  readonly concept: boolean;
}

function allDrawings(): Drawing[] {
  const by = artistNames.map((artist) => ({ artist, of: drawings(artist) }));
  return subjects().flatMap((subject) => {
    const drawn = by.flatMap(({ artist, of }) => {
      const svg = of(subject);
      return svg === undefined ? [] : [{ artist, subject, svg }];
    });
    const concept = isConcept(subject, drawn.filter(({ artist }) => artist !== unseen).length);
    return drawn.map((one) => ({ ...one, concept }));
  });
}

/** A number of 0 to 1 that follows from a pair of artist and concept. */
const lot = ({ artist, subject }: Drawing): number =>
  createHash('sha256').update(`${artist} ${subject.name}`).digest().readUInt32LE() / 2 ** 32;

/** Draws lots: of each concept at most one artist is kept back, and of the unseen artist the pictures to fine-tune on as well. */
function keepBack(all: readonly Drawing[]): KeptBack {
  const byLot = all.toSorted((a, b) => lot(a) - lot(b));
  const pairs = byLot.filter(({ artist, concept }) => concept && artist !== unseen);
  const taken = new Set<string>();
  const kept: Drawing[] = [];
  for (const drawing of pairs) {
    if (kept.length >= KEPT_PAIRS * pairs.length) break;
    if (taken.has(drawing.subject.name)) continue;
    taken.add(drawing.subject.name);
    kept.push(drawing);
  }
  const examples = [outline.train, outline.validation]
    .flatMap((folder) => readdirSync(folder))
    .flatMap((file) => (file.endsWith('.png') ? [file.slice(0, -4)] : []));
  const others = byLot.filter(
    ({ artist, subject }) => artist === unseen && !examples.includes(subject.name),
  );
  const names = (artist: Artist) =>
    artist === unseen
      ? [
          ...examples,
          ...others
            .slice(0, Math.round(KEPT_OUTLINES * others.length))
            .map(({ subject }) => subject.name),
        ]
      : kept.filter((one) => one.artist === artist).map(({ subject }) => subject.name);
  return Object.fromEntries(
    artistNames.map((artist) => [artist, names(artist).sort()]),
  ) as unknown as KeptBack;
}

function useOf({ artist, subject, concept }: Drawing, kept: KeptBack): Use {
  const isKept = kept[artist].includes(subject.name);
  if (artist === unseen) return isKept ? 'kept outline' : 'autoencoder';
  return isKept ? 'kept pair' : concept ? 'base' : 'autoencoder';
}

/** sRGB bytes [64,64,3], on white. */
async function render(svg: string): Promise<Uint8Array> {
  const [, width, height] = /width="([\d.]+)" height="([\d.]+)"/.exec(svg)!.map(Number);
  const density = Math.min(1000, (72 * 4 * SIDE) / Math.max(width!, height!));
  return sharp(Buffer.from(svg), { density })
    .resize(SIDE, SIDE, { fit: 'contain', background: '#fff' })
    .flatten({ background: '#fff' })
    .toColourspace('srgb')
    .removeAlpha()
    .raw()
    .toBuffer();
}

const all = allDrawings();
if (process.argv.includes('--keep'))
  writeFileSync(keptFile, `${JSON.stringify(keepBack(all), undefined, 2)}\n`);
const kept = JSON.parse(readFileSync(keptFile, 'utf8')) as KeptBack;

const pictures: PackedPicture[] = [];
const pixels: Uint8Array[] = [];
for (const drawing of all) {
  const { artist, subject } = drawing;
  const { name: concept, label, tags } = subject;
  pictures.push({ artist, concept, label, tags, use: useOf(drawing, kept) });
  pixels.push(await render(drawing.svg));
}
mkdirSync(cache, { recursive: true });
const bytes = packed(pictures, pixels);
writeFileSync(new URL('pictures.pack', cache), bytes);
const count = (use: Use) => pictures.filter((one) => one.use === use).length;
console.log(
  `${pictures.length} pictures, ${(bytes.length / 2 ** 20).toFixed(1)} MiB: ${count('base')} for the base, ${count('autoencoder')} more for the autoencoder, ${count('kept pair')} pairs and ${count('kept outline')} outlines kept back; ${new Set(all.filter(({ concept }) => concept).map(({ subject }) => subject.name)).size} concepts`,
);
