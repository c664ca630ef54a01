/**
 * @file What a method is made of: adapters say what is trainable and where it attaches, objectives say what is asked of the model.
 * A new method implements one or both of these and touches nothing else.
 */
import type { Layer as LayerInfo, Posterior, ScheduleConfig } from '@sdft/models';
import type { ScheduledNumber } from '@sdft/optim';
import type { HostArray, StateValue, Tensor } from '@sdft/tensor';
import type { Preset } from './recipe/preset.ts';
import type { Flavour } from './recipe/schema.ts';
import type { Base, BaseKind } from './training/base.ts';

/** Settings as a recipe file holds them: texts, numbers, booleans, lists and records of these. */
export type PlainRecord = Readonly<Record<string, unknown>>;

/**
 * A layer of the frozen model, called as it is: `layer(x)`; `layer.parameter('weight')` is its frozen weight. Where another adapter was attached before, `layer(x)`
 * is what that one made of it. `in` of the token embedding counts the words that earlier adapters teach.
 */
export interface Layer extends LayerInfo {
  (x: Tensor): Tensor;
  parameter(name: string): Tensor;
  /** The layer with these in place of its frozen parameters: `layer.with({ weight })(x)`. Adapters attached before see them as the frozen ones. */
  with(parameters: Parameters<Tensor>): (x: Tensor) => Tensor;
}

/** What a wrapped layer is used for. */
export interface Use {
  /** Draws of this micro-step, for dropout; undefined where nothing is trained and pictures are drawn. A shared set of trainables is used at several layers: put the layer's path into the name. */
  readonly draw: Draws | undefined;
  /** How much of what was learned counts: 1 while training, elsewhere a number [] that may change from picture to picture. */
  readonly strength: Tensor | 1;
  /** All layers of the base, those of the U-Net in the order in which it runs them. */
  readonly layers: readonly LayerInfo[];
  /** Adds a number [] to the loss of this micro-step; the loss that a run reports contains it. Nothing happens where pictures are drawn. */
  penalize(loss: Tensor): void;
}

/** Random numbers and other draws, by name. The same name in a step is the same draw; all can be recorded and replayed. */
export interface Draws {
  /** Standard normal, f32. */
  normal(name: string, shape: readonly number[]): Tensor;
  /** Uniform in [0, 1), f32. */
  uniform(name: string, shape: readonly number[]): Tensor;
  /** Uniform over 0, 1, ..., below - 1, i32. */
  integers(name: string, shape: readonly number[], below: number): Tensor;
}

/** The same on the host, for first values: each trainable has streams of its own. */
export interface HostDraws {
  normal(name: string, shape: readonly number[]): HostArray;
  uniform(name: string, shape: readonly number[]): HostArray;
}

/** What one training step sees. B pictures: `instances` of the subject first, then class images (none unless the data has them). */
export interface Batch {
  readonly size: number;
  readonly instances: number;
  /** [B, latentChannels, h, w] f32, scaled: what the U-Net works on. Made with the frozen autoencoder, once an objective has asked for them. */
  readonly latents: Tensor;
  /** [B, L, crossAttentionDim] f32: the text states; computed in the graph where a part of the text side is trained, and only once an objective has asked for them. */
  readonly context: Tensor;
  /** Multiplies the squared error before its mean; broadcasts over the latents' shape. */
  readonly weight?: Tensor;
  /**
   * The pictures themselves, [B,3,H,W] f32 in -1..1; they come with every batch once an objective has asked for them.
   *
   * @throws UserError where a record is replayed that holds only latents
   */
  pixels(): Tensor;
  /**
   * How far the run is, [] f32: 0 at its first step, 1 at its last one and after.
   *
   * @throws UserError where nothing says how many steps the run has
   */
  progress(): Tensor;
}

/** The noise schedule in the graph. Timesteps t are [B] i32; what is read per timestep has the shape [B, 1, 1, 1]. */
export interface Schedule {
  readonly config: ScheduleConfig;
  /** sqrt(alphasCumprod[t]) x0 + sqrt(1 - alphasCumprod[t]) noise (Ho et al. 2020, equation 4). */
  addNoise(x0: Tensor, noise: Tensor, t: Tensor): Tensor;
  /** What the U-Net is asked for: the noise, or v = sqrt(alphasCumprod) noise - sqrt(1 - alphasCumprod) x0 (Salimans and Ho 2022). */
  target(x0: Tensor, noise: Tensor, t: Tensor): Tensor;
  /** alphasCumprod[t] / (1 - alphasCumprod[t]), [B] */
  snr(t: Tensor): Tensor;
}

/** The model being trained, adapters applied. */
export interface Models {
  /**
   * What the base makes pictures from, which says what its U-Net takes.
   *
   * @throws UserError where it is none of these
   */
  readonly kind: BaseKind;
  /**
   * What the U-Net says about `noisy` [B,C,h,w] at `t` [B], given `context` [B,L,D]: [B,C',h,w]. C is what it takes: the latents' channels, and beside them a mask and a
   * masked picture (inpainting models), or a small picture (upscaling models).
   *
   * @param classLabels [B] i32: the noise level of each small picture, for upscaling models
   * @throws UserError where it takes other channels
   */
  unet(noisy: Tensor, t: Tensor, context: Tensor, classLabels?: Tensor): Tensor;
  /** The autoencoder's encoder: pixels [B,3,H,W] in -1..1 to the Gaussian of their latents, unscaled. */
  encode(pixels: Tensor): Posterior;
  /** Latents as the U-Net takes them, of unscaled ones. */
  scaled(latents: Tensor): Tensor;
  /** Its decoder: latents [B,C,h,w], unscaled, to pixels [B,3,H,W], about -1..1. */
  decode(latents: Tensor): Tensor;
  readonly schedule: Schedule;
  /** Of upscaling models: the schedule by which small pictures get their noise, and how many levels of it the U-Net knows; 0 is the least noise. */
  readonly lowRes?: { readonly schedule: Schedule; readonly levels: number } | undefined;
}

/** What data must provide for an objective. */
export type Needs = 'instance' | 'class';

/** Asks something of the model: the loss of each sample [B], whose mean is minimised, or one number. */
export interface Objective<N extends Needs = 'instance'> {
  (models: Models, batch: Batch, draw: Draws): Tensor;
  /** `class`: the data must have class images. */
  readonly needs?: N;
  /** Its name and settings, as a recipe holds them. */
  readonly recipe?: PlainRecord;
}

/** Trainable tensors at one layer, by the adapter's own names for them. */
export type Parameters<T> = Readonly<Record<string, T>>;

/** New words: the text encoder's vocabulary grows by `vectors` rows, which the prompt names by `token`. */
export interface NewToken {
  readonly token: string;
  readonly vectors: number;
}

/** What a trainable starts as. Its shape is known before anything is computed. */
export interface Initial {
  readonly shape: readonly number[];
  /** Its first values, f32, of that shape. Throws UserError where they cannot be had. */
  values(context: InitContext): HostArray;
  /** The frozen parameter that it equals, by its full path. Its values are then asked for when the first step begins, one after the other, and not when the run is built. */
  readonly copies?: string;
}

/** What an adapter may look at when its trainables get their first values. */
export interface InitContext {
  /** The values of a frozen parameter, f32, by its full path (`unet.conv_in.weight`); only these rows of its first axis, where given. Throws UserError if there is none. */
  weight(path: string, rows?: readonly number[]): HostArray;
  /** The ids of a text without start and end, of the base's own vocabulary. */
  tokenize(text: string): readonly number[];
  /** The pieces of the same text, as the vocabulary writes them. */
  pieces(text: string): readonly string[];
  readonly draw: HostDraws;
  /** Whose rules the run follows. */
  readonly flavour: Flavour;
}

/** Says what is trainable and where it attaches. */
export interface Adapter {
  readonly name: string;
  /** Its settings, for the recipe that is stored with a run. */
  readonly options?: PlainRecord;
  /**
   * A glob over layer paths (`unet.**.attn2.to_{k,v}`), or several; those that begin with `!` take layers out again. Or a function that picks from all layers of the base,
   * and throws UserError where the base has none that fit.
   */
  readonly at:
    | string
    | readonly string[]
    | ((layers: readonly LayerInfo[]) => readonly LayerInfo[]);
  /**
   * `input`: it changes what its layers are given. Such adapters act before all others, each on what the one before it gives. By default an adapter acts on what the
   * adapters before it made of the layer.
   */
  readonly side?: 'input';
  /** Layers with the same key share one set of trainables; by default each has its own, under its path. */
  readonly share?: (layer: LayerInfo) => string;
  /** The trainables at a layer. */
  init(layer: LayerInfo): Parameters<Initial>;
  /** What the layer computes from now on. */
  wrap(layer: Layer, parameters: Parameters<Tensor>, use: Use): (x: Tensor) => Tensor;
  /** New words that this adapter teaches; their ids follow on the vocabulary, row by row. */
  readonly tokens?: readonly NewToken[];
  /** Its own learning rate, or that of each layer; by default (and where a layer has none) the optimizer's. Layers that share trainables have the rate of the first. */
  readonly lr?: ScheduledNumber | ((layer: LayerInfo) => ScheduledNumber | undefined);
  /** What the rate of a trainable is multiplied with; 1 by default. Layers that share trainables have the factors of the first. */
  readonly lrFactor?: (layer: LayerInfo, parameter: string) => number;
  /** Weight decay of its trainables, in the same way. */
  readonly weightDecay?: number | ((layer: LayerInfo) => number | undefined);
  /**
   * The steps in which it is trained, counted from 0: `from` up to, not including, `to`; all by default. Outside of them its values and its optimizer's state stand still, and its
   * gradient counts in no norm. Its clock begins with it: schedules, rates and bias corrections are those of a run of its own.
   */
  readonly steps?: { readonly from?: number | undefined; readonly to?: number | undefined };
  /** How its trainables are written and read; by default one safetensors file of `LAYER.NAME`. */
  readonly files?: AdapterFiles;
}

/** All trainables of an adapter: by layer path (or shared key), then by name. */
export type AdapterState = ReadonlyMap<string, Parameters<HostArray>>;

/** The same from a file, where large values may be read when their turn comes. */
export type LoadedState = ReadonlyMap<string, Parameters<StateValue>>;

/** AdamW's running means (Loshchilov and Hutter 2019, algorithm 2), by the names of what is trained. */
export interface Moments {
  /** Steps that went into them. */
  readonly step: number;
  /** Of the gradients. */
  readonly mean: AdapterState;
  /** Of their squares. */
  readonly square: AdapterState;
}

/** What a file may say beside the numbers. */
export interface AboutFile {
  /** Optimizer steps done. */
  readonly step: number;
  /** The base, as the recipe names it. */
  readonly base: string;
  /** The base itself, where it is open: a file of the whole model takes the rest from it. */
  readonly model?: Base;
  /** The run's settings, for a file's metadata. */
  readonly recipe?: PlainRecord;
  /** What the optimizer keeps, and the rate of the last step; undefined where it is not AdamW. Read only when asked for. */
  readonly moments?: () => Promise<(Moments & { readonly lr: number }) | undefined>;
  /** Replace what is there. */
  readonly force: boolean;
}

export interface AdapterFiles {
  /** What a path that `save` takes may end in, such as `.safetensors`, or '' for a folder, whose name has no ending; so that a run is refused before it starts, not at its end. */
  readonly endings: readonly string[];
  /** What a person should know, before the run starts, about a result at this path. */
  warning?(path: string, base: Base): string | undefined;
  /** Writes `state` to `path`; the extension chooses the layout. Whole or not at all; throws UserError if the file exists, unless `force`. The values may lie where the run has them: they are not to be changed, nor kept. */
  save(state: AdapterState, path: string, about: AboutFile): Promise<void>;
  /** Reads any layout it knows. Throws UserError, naming file and tensor, if the file is none of these or does not fit. */
  load(
    path: string,
    shapes: ReadonlyMap<string, Parameters<readonly number[]>>,
  ): Promise<LoadedState>;
  /**
   * What the optimizer kept when the file was written: a run that starts from the file then goes on where it ended, at that step. Undefined where nothing of the kind is
   * wanted. Throws UserError where it does not belong to the file.
   */
  moments?(
    path: string,
    shapes: ReadonlyMap<string, Parameters<readonly number[]>>,
  ): Promise<Moments | undefined>;
}

/** A preset: adapters with the objective that goes with them. */
export interface Method<N extends Needs = 'instance'> {
  readonly name: string;
  /** Its settings, for the recipe. */
  readonly options: PlainRecord;
  readonly adapters: readonly Adapter[];
  readonly objective: Objective<N>;
  /** Its defaults, and what a recipe can say of it. */
  readonly preset?: Preset;
}
