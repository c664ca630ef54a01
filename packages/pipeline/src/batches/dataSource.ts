import {
  fill,
  type ImageFolder,
  type ImageItem,
  type ImageSet,
  type Loader,
  type PlannedPicture,
  type Provides,
  stackPixels,
} from '@sdft/data';
import { type Draws, hostArray, type HostArray, internal, UserError } from '@sdft/tensor';
import type { PictureEncoder } from '../encoding/pictureEncoder.ts';
import type { Prompts } from '../encoding/prompts.ts';
import { type Base, pixelsPerLatent } from '../training/base.ts';
import { some } from '../training/trainGraph.ts';
import type { DrawSpec } from '../training/tracedDraws.ts';
import { cutCaptions } from './captions.ts';
import type { BatchSource, MicroBatch } from './source.ts';

/**
 * Which sample of a picture's posterior is trained on: a new one at every fetch, one for the whole run, or its mean
 * (A1111's `random`, `once`, `deterministic`; diffusers draws a new one each time).
 */
export type LatentSampling = 'random' | 'once' | 'deterministic';

export interface DataSourceOptions {
  readonly base: Base;
  readonly set: ImageSet<Provides>;
  /** Class pictures that are still to be drawn; those of the set stand in for them. */
  readonly missing?: { readonly count: number; readonly there: number } | undefined;
  readonly loader: Loader<Provides>;
  readonly batch: number;
  readonly encoder: PictureEncoder;
  readonly prompts: Prompts;
  /** What is trained, as templates are filled with it. */
  readonly name: string | undefined;
  readonly draws: Draws;
  readonly sampling: LatentSampling;
}

/** Most captions that are looked at before training. */
const MOST_CAPTIONS = 20_000;

/** Micro-steps from a folder of pictures. */
export function dataSource(options: DataSourceOptions): BatchSource {
  const { base, set, missing, loader, batch, encoder, draws, sampling } = options;
  const { width, height } = set;
  const scale = pixelsPerLatent(base);
  const latents = [Math.floor(height / scale), Math.floor(width / scale)] as const;
  const cells = latents[0] * latents[1];
  const classes: ImageFolder | undefined = set.classes;
  const { prompts } = options;
  const captions = [...new Set(captionsOf(set, options.name))];
  const classCaptions = [...new Set(classes?.items.slice(0, MOST_CAPTIONS).map(captionOf))];
  const all = [...new Set([...captions, ...classCaptions])];
  const wordless = withoutWord(prompts, captions, set.folder);
  const windows = Math.max(...all.map((caption) => prompts.windowsOf(caption)));
  const emphasis = all.some((caption) => prompts.multipliers(caption, windows) !== undefined);

  /** Every picture of a micro-step, with the folder that it is in. */
  const picturesOf = (k: number): (PlannedPicture & { readonly folder: ImageFolder })[] => {
    const { items, classItems } = loader.plan(k);
    return [
      ...items.map((item) => ({ ...item, folder: set })),
      ...classItems.map((item) => ({ ...item, folder: classes! })),
    ];
  };
  const keyOf = ({ folder, file, flip }: ReturnType<typeof picturesOf>[number]): string =>
    `${folder.folder}/${file}${flip ? ' flipped' : ''}`;

  const posteriorNoise = ({ name, shape }: DrawSpec, k: number): HostArray => {
    if (sampling === 'random') return draws.normal(name, k, shape) as HostArray;
    const noise = new Float32Array(shape.reduce((n, d) => n * d, 1));
    if (sampling === 'once')
      picturesOf(k).forEach((picture, i) => {
        const own = draws.normal(`${name} ${keyOf(picture)}`, 0, shape.slice(1));
        noise.set(own.data, i * own.data.length);
      });
    return hostArray(noise, shape) as HostArray;
  };

  return {
    size: classes ? 2 * batch : batch,
    instances: batch,
    latents,
    pixels: [height, width],
    tokens: windows * prompts.window,
    pictures: 'moments',
    prompts: { ids: true, context: false },
    emphasis,
    counts: {
      pictures: set.items.length,
      captions: captions.length,
      classPictures: missing?.count ?? classes?.items.length ?? 0,
      classCaptions: classCaptions.length,
      missing: missing ? missing.count - missing.there : 0,
      epoch: Math.max(loader.epochLength, missing?.count ?? 0),
    },
    warnings: [
      ...set.warnings,
      ...(classes?.warnings ?? []),
      ...wordless,
      ...cutCaptions(prompts, all),
    ],
    check: () => undefined,
    draw: (spec, k) =>
      spec.name === 'posterior_noise' ? posteriorNoise(spec, k) : drawFrom(draws, spec, k),
    batch: async (k): Promise<MicroBatch> => {
      const pictures = picturesOf(k);
      return {
        moments: () =>
          Promise.all(
            pictures.map((picture) =>
              encoder.moments(
                keyOf(picture),
                cells,
                async () => (await picture.folder.pixels(picture.index, picture.flip)) as HostArray,
              ),
            ),
          ),
        pixels: async () =>
          stackPixels(
            await Promise.all(pictures.map(({ folder, index }) => folder.decode(index))),
            pictures.map(({ flip }) => flip),
          ) as HostArray,
        ids: pictures.map(({ caption }) => prompts.ids(caption, windows)),
        ...(emphasis && {
          multipliers: pictures.map(
            ({ caption }) =>
              prompts.multipliers(caption, windows) ??
              Array<number>(windows * prompts.window).fill(1),
          ),
        }),
        latents: absent,
        context: absent,
        weight: absent,
      };
    },
  };
}

const absent = (): never => {
  throw internal('data gives pictures and ids');
};

/** A draw by its name, from the seed. */
export function drawFrom(
  draws: Draws,
  { name, kind, shape, below }: DrawSpec,
  k: number,
): HostArray {
  switch (kind) {
    case 'normal':
      return draws.normal(name, k, shape) as HostArray;
    case 'uniform':
      return draws.uniform(name, k, shape) as HostArray;
    case 'integers':
      return draws.integers(name, k, shape, below) as HostArray;
  }
}

const captionOf = ({ filewords }: ImageItem): string => filewords;

/** Every caption that a picture of the subject can have, up to a limit. */
function* captionsOf(set: ImageSet<Provides>, name: string | undefined): Generator<string> {
  let left = MOST_CAPTIONS;
  for (const { filewords } of set.items)
    for (const template of set.templates) if (left-- > 0) yield fill(template, { name, filewords });
}

/** Captions in which no word stands that is taught. Throws UserError where that is all of them. */
function withoutWord(prompts: Prompts, captions: readonly string[], folder: string): string[] {
  const words = prompts.taught.map(({ token }) => token);
  const lacking = captions.filter(
    (caption) => !words.some((word) => caption.toLowerCase().includes(word.toLowerCase())),
  );
  if (words.length === 0 || lacking.length === 0) return [];
  if (lacking.length === captions.length)
    throw new UserError(
      `${folder}: no caption contains ${words.join(' or ')}, so nothing would be learned ("${captions[0]}", for one). Say how captions are made with data.template, such as "a drawing of {}"`,
    );
  return [
    `${lacking.length} of ${captions.length} captions do not contain ${words.join(' or ')} and teach nothing about it: ${some(lacking.map((caption) => `"${caption}"`))}`,
  ];
}
