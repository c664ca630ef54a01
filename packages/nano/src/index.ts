/** Where a part of this package comes from, and under what terms. */
export interface Attribution {
  readonly work: string;
  readonly author: string;
  /** SPDX identifier */
  readonly licence: string;
  readonly source: string;
  /** What of it is here. `included`: pictures; the autoencoder alone learned from others by the same artist. */
  readonly use: 'learned from' | 'included';
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

/** Whose artwork is in the model and in the pictures. Name them where you show what the model draws. */
export const attributions: readonly Attribution[] = [
  {
    work: 'Twemoji',
    author: 'Twitter, Inc. and other contributors',
    licence: 'CC-BY-4.0',
    source: 'https://github.com/jdecked/twemoji',
    use: 'learned from',
  },
  {
    work: 'EmojiTwo (EmojiOne 2)',
    author: 'EmojiOne and the EmojiTwo contributors',
    licence: 'CC-BY-4.0',
    source: 'https://github.com/EmojiTwo/emojitwo',
    use: 'learned from',
  },
  {
    work: 'Noto Emoji, both versions',
    author: 'Google LLC',
    licence: 'Apache-2.0',
    source: 'https://github.com/googlefonts/noto-emoji',
    use: 'learned from',
  },
  {
    work: 'Fluent UI Emoji',
    author: 'Microsoft Corporation',
    licence: 'MIT',
    source: 'https://github.com/microsoft/fluentui-emoji',
    use: 'learned from',
  },
  {
    work: 'OpenMoji',
    author: 'the OpenMoji project',
    licence: 'CC-BY-SA-4.0',
    source: 'https://openmoji.org',
    use: 'included',
  },
];
