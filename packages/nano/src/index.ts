/** Where a part of this package comes from, and under what terms. */
export interface Attribution {
  readonly work: string;
  readonly author: string;
  /** SPDX identifier */
  readonly licence: string;
  readonly source: string;
  /** What of it is here. `learned from`: the base model learned from it. `included`: pictures in `outline` or `held-out`; of OpenMoji the autoencoder and the classifier alone learned from others. */
  readonly uses: readonly ('learned from' | 'included')[];
}

/** Folder of the base model in diffusers layout: 64 x 64 pixels, latents [8, 8, 8], epsilon prediction, float16. */
export const model: URL = new URL('../model/', import.meta.url);

/**
 * Folders of pictures by an artist whose work the model never saw: 64 x 64 pixels, black outlines, flat colours. Beside each
 * `NAME.png` a `NAME.txt` holds its tags; the first says what is drawn.
 */
export const outline: {
  /** 25 pictures to train on */
  readonly train: URL;
  /** 10 pictures that were kept back */
  readonly validation: URL;
} = {
  train: new URL('../outline/train/', import.meta.url),
  validation: new URL('../outline/validation/', import.meta.url),
};

/**
 * Folder of pictures that nothing learned from, eight by each of the five artists of the base, to measure what it forgets: 64 x 64 pixels, `ARTIST-CONCEPT.png`. Beside each a `.txt` holds its
 * caption as the base knows captions, `a flat drawing of police officer`.
 */
export const heldOut: URL = new URL('../held-out/', import.meta.url);

/**
 * Folder of a small network that tells which of the six artists drew a picture, and which concept of the base it shows: `model.safetensors`, float16, and `classifier.json`, its shape,
 * answers, and how often it is right. `@sdft/compare` runs it.
 */
export const classifier: URL = new URL('../classifier/', import.meta.url);

/** Whose artwork is in the model and in the pictures. Name them where you show what the model draws. */
export const attributions: readonly Attribution[] = [
  {
    work: 'Twemoji',
    author: 'Twitter, Inc. and other contributors',
    licence: 'CC-BY-4.0',
    source: 'https://github.com/jdecked/twemoji',
    uses: ['learned from', 'included'],
  },
  {
    work: 'EmojiTwo (EmojiOne 2)',
    author: 'EmojiOne and the EmojiTwo contributors',
    licence: 'CC-BY-4.0',
    source: 'https://github.com/EmojiTwo/emojitwo',
    uses: ['learned from', 'included'],
  },
  {
    work: 'Noto Emoji, both versions',
    author: 'Google LLC',
    licence: 'Apache-2.0',
    source: 'https://github.com/googlefonts/noto-emoji',
    uses: ['learned from', 'included'],
  },
  {
    work: 'Fluent UI Emoji',
    author: 'Microsoft Corporation',
    licence: 'MIT',
    source: 'https://github.com/microsoft/fluentui-emoji',
    uses: ['learned from', 'included'],
  },
  {
    work: 'OpenMoji',
    author: 'the OpenMoji project',
    licence: 'CC-BY-SA-4.0',
    source: 'https://openmoji.org',
    uses: ['included'],
  },
];
