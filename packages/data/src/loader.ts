import type { Draws } from './draws.ts';
import { UserError } from './errors.ts';
import type { ImageFolder, ImageSet } from './image-set.ts';
import type { Order } from './order.ts';
import { shuffledEpochs } from './order.ts';
import { stackPixels } from './pixels.ts';
import type { Pixels } from './pixels.ts';
import type { TemplatePick, Provides } from './spec.ts';
import { fill, hasName } from './templates.ts';

/** Settings of `loader`. `flip`, `repeats` and `pick` are used where the data's description does not say. */
export interface LoaderOptions {
  /** Pictures in a batch, 1 or more. */
  readonly batch: number;
  /** The random numbers; they carry the seed. */
  readonly draws: Draws;
  /** What is trained, as prompts spell it; fills `{}` and `[name]`. Needed when a template has such a place. */
  readonly name?: string | undefined;
  readonly flip?: number | undefined;
  readonly repeats?: number | undefined;
  readonly pick?: TemplatePick | undefined;
  /** Start on the next batch as soon as one is handed over, so that files are decoded while a step computes. Default true. */
  readonly prefetch?: boolean | undefined;
}

/** A picture as a batch uses it. */
export interface PlannedPicture {
  /** Its place among the items of its folder. */
  readonly index: number;
  readonly file: string;
  readonly caption: string;
  readonly flip: boolean;
}

/** What a batch will hold, before any file is read. */
export interface BatchPlan {
  readonly items: readonly PlannedPicture[];
  /** As many pictures of the class; none where the data has no class images. */
  readonly classItems: readonly PlannedPicture[];
}

/** What one optimizer micro-step trains on. */
export interface Batch {
  /** f32 [B,3,H,W], -1..1. */
  readonly pixels: Pixels;
  readonly captions: readonly string[];
  /** Names inside the folder. */
  readonly files: readonly string[];
}

/** A batch with as many pictures of the class. */
export interface ClassBatch extends Batch {
  /** f32 [B,3,H,W], -1..1. */
  readonly classPixels: Pixels;
  readonly classCaptions: readonly string[];
  readonly classFiles: readonly string[];
}

/** The batch that data of this kind gives. */
export type BatchOf<P extends Provides> = 'class' extends P ? ClassBatch : Batch;

/** Batches whose content depends on the seed and on the micro-step alone. */
export interface Loader<P extends Provides = 'instance'> {
  /** Places in one epoch: the larger of pictures x repeats and class pictures. */
  readonly epochLength: number;
  /** What the batch of micro-step `step` = 0, 1, ... holds; reads nothing. For callers that cache latents by (index, flip). */
  plan(step: number): BatchPlan;
  /** The batch of micro-step `step`, whichever batches were asked for before. @throws UserError when a file cannot be read. */
  batch(step: number): Promise<BatchOf<P>>;
  /** The batches of micro-steps `from`, `from` + 1, ... without end; a run that resumes at step k starts with `batches(k)`. */
  batches(from?: number): AsyncGenerator<BatchOf<P>, never, undefined>;
}

/**
 * Batches of an opened data set.
 *
 * Epochs are shuffled and follow each other without a gap: a batch may hold the last pictures of one and the first of the next, so
 * that every batch is full (diffusers ends an epoch with a short batch, A1111 drops it). With class images, place i of an
 * epoch is picture i modulo the pictures and class picture i modulo the class pictures, an epoch being as long as the larger
 * count (diffusers, `DreamBoothDataset`).
 *
 * Draws, by name: `order` (uniform, step = epoch), `flip`, `class_flip`, `caption_dropout` (uniform) and `template` (integers), step = micro-step;
 * with `pick: 'image'` there is one `template` draw for all pictures, at step 0.
 * @throws UserError when a setting is out of range, or a template has a place for a name and there is none.
 */
export function loader<P extends Provides>(set: ImageSet<P>, options: LoaderOptions): Loader<P> {
  const classes: ImageFolder | undefined = set.classes;
  const { batch: size, draws, name, prefetch = true } = options;
  const flip = set.spec.flip ?? options.flip ?? 0;
  const { captionDropout = 0 } = set.spec;
  const repeats = set.spec.repeats ?? options.repeats ?? 1;
  const pick = set.spec.pick ?? options.pick ?? 'fetch';
  requireWhole('batch', size, 1);
  requireWhole('repeats', repeats, 1);
  if (!(flip >= 0 && flip <= 1))
    throw new UserError(`flip must be a probability, 0 to 1, not ${flip}`);
  const nameless = name === undefined ? set.templates.find(hasName) : undefined;
  if (nameless !== undefined) fill(nameless, { filewords: '' });

  const count = set.items.length;
  const epochLength = Math.max(count * repeats, classes?.items.length ?? 0);
  const order = shuffledEpochs(epochLength, draws);
  const templateOf = templatePicker(set.templates, pick, count, size, draws);

  const plan = (step: number): BatchPlan => {
    requireWhole('step', step, 0);
    const places = placesOf(step, size, order);
    const template = templateOf(step);
    const flips = chosen('flip', flip, size, step, draws);
    const dropped = chosen('caption_dropout', captionDropout, size, step, draws);
    const items = places.map((place, at) => {
      const index = place % count;
      const { file, filewords } = set.items[index]!;
      return {
        index,
        file,
        caption: dropped[at] ? '' : fill(template(at, index), { name, filewords }),
        flip: flips[at]!,
      };
    });
    if (classes === undefined) return { items, classItems: [] };
    const classFlips = chosen('class_flip', flip, size, step, draws);
    const classItems = places.map((place, at) => {
      const index = place % classes.items.length;
      const { file, filewords } = classes.items[index]!;
      return { index, file, caption: filewords, flip: classFlips[at]! };
    });
    return { items, classItems };
  };

  const assemble = async (step: number): Promise<BatchOf<P>> => {
    const { items, classItems } = plan(step);
    const [own, ofClass] = await Promise.all([
      gather(set, items),
      classes === undefined ? undefined : gather(classes, classItems),
    ]);
    const batch: Batch | ClassBatch =
      ofClass === undefined
        ? own
        : {
            ...own,
            classPixels: ofClass.pixels,
            classCaptions: ofClass.captions,
            classFiles: ofClass.files,
          };
    // `set.classes` is there exactly when P holds 'class' (the type of ImageSet), which the compiler cannot follow through `plan`.
    return batch as BatchOf<P>;
  };

  let ahead: { readonly step: number; readonly batch: Promise<BatchOf<P>> } | undefined;
  const batch = async (step: number): Promise<BatchOf<P>> => {
    const current = ahead?.step === step ? ahead.batch : assemble(step);
    ahead = undefined;
    const ready = await current;
    if (prefetch) {
      const next = assemble(step + 1);
      // An error belongs to whoever asks for that batch; until then nobody listens.
      next.catch(() => undefined);
      ahead = { step: step + 1, batch: next };
    }
    return ready;
  };

  return {
    epochLength,
    plan,
    batch,
    async *batches(from = 0) {
      for (let step = from; ; step++) yield await batch(step);
    },
  };
}

async function gather(folder: ImageFolder, planned: readonly PlannedPicture[]): Promise<Batch> {
  const pictures = await Promise.all(planned.map(({ index }) => folder.decode(index)));
  return {
    pixels: stackPixels(
      pictures,
      planned.map(({ flip }) => flip),
    ),
    captions: planned.map(({ caption }) => caption),
    files: planned.map(({ file }) => file),
  };
}

function placesOf(step: number, size: number, order: Order): number[] {
  return Array.from({ length: size }, (_, at) => order.at(step * size + at));
}

/** For each picture of a batch, whether something of this probability happens to it. */
function chosen(
  name: string,
  probability: number,
  size: number,
  step: number,
  draws: Draws,
): boolean[] {
  if (probability === 0 || probability === 1) return Array<boolean>(size).fill(probability === 1);
  return Array.from(draws.uniform(name, size, step), (drawn) => drawn < probability);
}

/** For a micro-step: which template the picture at place `at` of the batch, item `index` of the folder, gets. */
type TemplatePicker = (step: number) => (at: number, index: number) => string;

function templatePicker(
  templates: readonly string[],
  pick: TemplatePick,
  count: number,
  size: number,
  draws: Draws,
): TemplatePicker {
  const [only] = templates;
  if (only !== undefined && templates.length === 1) return () => () => only;
  if (pick === 'fetch') {
    return (step) => {
      const drawn = draws.integers('template', size, templates.length, step);
      return (at) => templates[drawn[at]!]!;
    };
  }
  const drawn = draws.integers('template', count, templates.length, 0);
  return () => (_at, index) => templates[drawn[index]!]!;
}

function requireWhole(what: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new UserError(`${what} must be a whole number, ${least} or more, not ${value}`);
}
