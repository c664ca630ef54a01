/** @file Packed pictures as the data set that a run trains on. */
import { type ImageSet, toPixels } from '@sdft/data';
import { captionOf } from './captions.ts';
import { unseen } from './artwork.ts';
import { type Pack, type PackedPicture, SIDE, type Use } from './pack.ts';
import {
  AUTOENCODER_VARIANTS,
  autoencoderVariant,
  BASE_VARIANTS,
  baseVariant,
  DECODER_VARIANTS,
  decoderVariant,
} from './variants.ts';

/** What is taken of a pack: pictures of some uses, each in so many variants. */
interface Choice {
  readonly uses: readonly Use[];
  readonly variants: number;
  variant(picture: Uint8Array, name: string, variant: number): Uint8Array;
  caption(picture: PackedPicture, variant: number): string;
  /** How many times so many variants there are of a picture; by default 1. */
  readonly times?: (picture: PackedPicture) => number;
}

const same = (picture: Uint8Array): Uint8Array => picture;

/** What each of the two networks' trainings takes, and what they are measured by. */
export const choices = {
  /** Text encoder and U-Net. */
  base: {
    uses: ['base'],
    variants: BASE_VARIANTS,
    variant: baseVariant,
    caption: captionOf,
  },
  autoencoder: {
    uses: ['base', 'autoencoder'],
    variants: AUTOENCODER_VARIANTS,
    variant: autoencoderVariant,
    caption: () => '',
  },
  /** The decoder by itself: the unseen artist's pictures count three times, as the base's hands are known. */
  decoder: {
    uses: ['base', 'autoencoder'],
    variants: DECODER_VARIANTS,
    variant: decoderVariant,
    caption: () => '',
    times: ({ artist }) => (artist === unseen ? 3 : 1),
  },
  /** What nobody learned of the base's artists, to measure by. */
  keptPairs: { uses: ['kept pair'], variants: 1, variant: same, caption: captionOf },
  /** The same of the artist whom the base never sees. */
  keptOutlines: { uses: ['kept outline'], variants: 1, variant: same, caption: captionOf },
} as const satisfies Record<string, Choice>;

/** The pictures of a choice; every variant is an item of its own. `settings` go to the recipe's `data`. */
export function imageSet(
  pack: Pack,
  { uses, variants, variant, caption, times = () => 1 }: Choice,
  settings: { readonly captionDropout?: number } = {},
): ImageSet {
  const nameOf = ({ artist, concept }: PackedPicture) => `${artist}/${concept}`;
  const chosen = pack.pictures.flatMap((picture, index) =>
    uses.includes(picture.use)
      ? Array.from({ length: variants * times(picture) }, (_, v) => ({ picture, index, v }))
      : [],
  );
  const items = chosen.map(({ picture, v }) => {
    const file = `${nameOf(picture)}/${v}`;
    return { file, path: file, filewords: caption(picture, v), width: SIDE, height: SIDE };
  });
  const made: Uint8Array[] = [];
  const decode = (item: number) => {
    const { picture, index, v } = chosen[item]!;
    const data = made[item] ?? variant(pack.pixels(index), nameOf(picture), v);
    made[item] = data;
    return { data, width: SIDE, height: SIDE };
  };
  const folder = 'pictures.pack';
  return {
    spec: { images: folder, ...settings },
    templates: ['{caption}'],
    folder,
    items,
    ...{ width: SIDE, height: SIDE, warnings: [], classes: undefined },
    decode: (item) => Promise.resolve(decode(item)),
    pixels: (item, flip = false) => Promise.resolve(toPixels(decode(item), flip)),
  };
}
