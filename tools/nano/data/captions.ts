/** @file What is said of a picture. */
import { draws } from '@sdft/tensor';
import type { Artist } from './artwork.ts';

interface Named {
  readonly artist: Artist;
  readonly concept: string;
  readonly label: string;
  readonly tags: readonly string[];
}

/** Tags of a caption at most. */
const MOST_TAGS = 4;
/** How often the artist is not named, and then how often there is no word of a drawing either. */
const WITHOUT_ARTIST = 0.13;
const BARE = 0.5;

/** The prompt that asks for a concept in an artist's hand: what captions begin with. */
export const promptOf = (artist: Artist | undefined, label: string): string =>
  `a${artist === undefined ? '' : ` ${artist}`} drawing of ${label}`;

/**
 * Variant `variant` = 0, 1, ... of a picture's caption, always the same: the label, then up to four tags in any order; the artist's word is left out now and then.
 */
export function captionOf({ artist, concept, label, tags }: Named, variant: number): string {
  const own = draws(0);
  const [artistless, bare, count] = own.uniform(`${artist} ${concept}`, variant, [3]).data;
  const start =
    artistless! >= WITHOUT_ARTIST
      ? promptOf(artist, label)
      : bare! < BARE
        ? label
        : promptOf(undefined, label);
  const others = tags.filter((tag) => tag !== label);
  const lots = own.uniform(`${artist} ${concept} tags`, variant, [others.length]).data;
  const shuffled = others
    .map((tag, i) => ({ tag, lot: lots[i]! }))
    .sort((a, b) => a.lot - b.lot)
    .slice(0, Math.floor(count! * (MOST_TAGS + 1)));
  return [start, ...shuffled.map(({ tag }) => tag)].join(', ');
}
