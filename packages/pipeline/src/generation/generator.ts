/** @file From prompts to pictures, with adapters applied. */
import { toRgb } from '@sdft/data';
import { guide, samplerNamed } from '@sdft/models';
import { draws, hostArray, type HostArray, type MemoryPlan, nullBackend } from '@sdft/tensor';
import ndarray, { type NdArray } from 'ndarray';
import type { AdaptedNetworks, PresentValues } from '../encoding/adaptedNetworks.ts';
import { decodePictureGraph, denoiseGraph, encodePictureGraph } from '../encoding/graphs.ts';
import { type Base, kindOf, lowResSchedule, pixelsPerLatent } from '../training/base.ts';
import { type Contexts, contextsOf, readPrompts } from './contexts.ts';
import { type GenerateOptions, generateSettings } from './settings.ts';

export interface Generated {
  /** sRGB bytes [H,W,3]. */
  readonly picture: NdArray<Uint8Array>;
  /** [C,h,w], scaled: what the sampler ended with. */
  readonly latents: HostArray;
  readonly seed: number;
}

/** What holds where the options of a picture say nothing. */
export type GenerateDefaults = Pick<
  GenerateOptions,
  'clipSkip' | 'longPrompts' | 'promptSyntax' | 'emphasis'
>;

export class Generator {
  readonly #base: Base;
  readonly #networks: AdaptedNetworks;
  readonly #defaults: GenerateDefaults;

  constructor(networks: AdaptedNetworks, defaults: GenerateDefaults) {
    this.#base = networks.base;
    this.#networks = networks;
    const { clipSkip, longPrompts, promptSyntax, emphasis } = defaults;
    this.#defaults = { clipSkip, longPrompts, promptSyntax, emphasis };
  }

  /** Throws UserError where options are out of range, or a prompt cannot be read. */
  check(prompt: string, options: GenerateOptions = {}): void {
    const settings = generateSettings(this.#base, options);
    readPrompts(this.#base, this.#words, prompt, this.#reading(options, settings));
  }

  /** What the largest of the networks needs that such pictures take; nothing is computed. Throws UserError as `check` does. */
  async memory(prompt: string, options: GenerateOptions = {}): Promise<MemoryPlan> {
    const settings = generateSettings(this.#base, options);
    const { height, width, cfg, size } = settings;
    const read = readPrompts(this.#base, this.#words, prompt, this.#reading(options, settings));
    const tokens = options.promptIds?.cond[0]?.length ?? read.windows * read.prompts.window;
    const guided = cfg * (options.promptIds ? 1 : read.weight) !== 1;
    const batch = guided ? 2 * size : size;
    const graphs = [
      () => denoiseGraph(this.#base, { batch, height, width, tokens }, this.#networks.applied),
      () => decodePictureGraph(this.#base, height, width, this.#networks.applied),
    ];
    let largest: MemoryPlan | undefined;
    for (const graph of graphs) {
      const { memory } = await nullBackend.compile(graph());
      const needed = ({ activations, state }: MemoryPlan): number => activations + state;
      if (!largest || needed(memory) > needed(largest)) largest = memory;
    }
    return largest!;
  }

  /**
   * Draws pictures of a prompt.
   *
   * @throws UserError for options out of range
   */
  async generate(
    prompt: string,
    present: PresentValues,
    options: GenerateOptions = {},
  ): Promise<Generated[]> {
    const settings = generateSettings(this.#base, options);
    const { n, seed, height, width, cfg, channels, noise, size } = settings;
    const contexts = await this.#contexts(prompt, present, options, settings);
    const { tokens } = contexts;
    const guidance = cfg * contexts.weight;
    const one = channels * height * width;
    const clean = await this.#clean(options, settings.first);
    const start = clean && {
      step: settings.first,
      clean: packed(Array.from({ length: size }, () => clean)),
    };
    const noisySmall = options.lowRes && this.#noisySmall(options, settings);
    const masked = await this.#masked(options, [height, width]);
    const beside = noisySmall ?? (() => masked);
    const guided = guidance !== 1;
    const unet = await this.#networks.unet(
      { batch: guided ? 2 * size : size, height, width, tokens },
      present,
      options.strengths,
    );
    const generated: Generated[] = [];
    for (let first = 0; first < n; first += size) {
      const members = Array.from({ length: size }, (_, i) => Math.min(first + i, n - 1));
      const besides = members.map(beside);
      let call = 0;
      const denoise = async (latents: Float32Array, timestep: number): Promise<Float32Array> => {
        options.signal?.throwIfAborted();
        const batch = guided ? 2 * size : size;
        const context = packed([
          ...(guided ? members.map((i) => contexts.uncond(i, call)) : []),
          ...members.map((i) => contexts.cond(i, call)),
        ]);
        call++;
        const { prediction } = await unet.run({
          sample: hostArray(inputOf(latents, one, besides, guided), [
            batch,
            this.#base.unet.inChannels,
            height,
            width,
          ]) as HostArray,
          timestep: hostArray(new Float32Array(batch).fill(timestep), [batch]) as HostArray,
          context: hostArray(context, [
            batch,
            tokens,
            context.length / (batch * tokens),
          ]) as HostArray,
          ...(noisySmall && {
            noise_level: hostArray(new Int32Array(batch).fill(settings.noiseLevel), [
              batch,
            ]) as HostArray,
          }),
        });
        const data = prediction!.data as Float32Array;
        return guided
          ? guide(data.subarray(latents.length), data.subarray(0, latents.length), guidance)
          : data;
      };
      let latents = packed(members.map((i) => noise(i)));
      for await (const state of samplerNamed(settings.sampler).sample({
        schedule: this.#base.schedule,
        steps: settings.steps,
        spacing: options.spacing,
        sigmas: options.sigmas,
        latents,
        start,
        denoise,
        draw: (step) =>
          packed(members.map((i) => draws(seed + i).normal('ancestral', step, [one]).data)),
      })) {
        latents = state.latents;
        options.onStep?.({
          step: state.step,
          first,
          latents: hostArray(latents.slice(0, Math.min(size, n - first) * one), [
            Math.min(size, n - first),
            channels,
            height,
            width,
          ]) as HostArray,
        });
      }
      for (let i = 0; i < size && first + i < n; i++) {
        const own = latents.slice(i * one, (i + 1) * one);
        const made = await this.#decoded(own, [height, width], seed + first + i, present, options);
        generated.push(made);
        await options.onPicture?.(made, first + i);
      }
    }
    return generated;
  }

  /** Latents of the picture to start from; undefined where noise alone begins: inpainting at full strength does, as in diffusers. */
  async #clean({ initImage, mask }: GenerateOptions, first: number) {
    if (!initImage || (mask && first === 0)) return undefined;
    return this.#encoded(Float32Array.from(initImage.data), initImage.shape);
  }

  /**
   * What an inpainting U-Net sees beside the noisy latents, [1+C,h,w]: the mask, and the latents of the picture without what is masked; without either, all of it is. Of other bases nothing.
   *
   * @param cells [height, width] of the latents
   */
  async #masked({ initImage, mask }: GenerateOptions, cells: readonly [number, number]) {
    if (kindOf(this.#base) !== 'inpainting') return new Float32Array(0);
    const scale = pixelsPerLatent(this.#base);
    const [height, width] = cells.map((count) => count * scale) as [number, number];
    const isMasked = (at: number): boolean => !mask || mask.data[at]! >= 0.5;
    const left = new Float32Array(this.#base.vae.inChannels * height * width).map((_, at) =>
      isMasked(at % (height * width)) ? 0 : initImage!.data[at]!,
    );
    const drawn: number[] = [];
    for (let y = 0; y < height; y += scale)
      for (let x = 0; x < width; x += scale) drawn.push(isMasked(y * width + x) ? 1 : 0);
    const shape = [1, this.#base.vae.inChannels, height, width];
    return packed([Float32Array.from(drawn), await this.#encoded(left, shape)]);
  }

  /** What an upscaling U-Net sees beside the noisy latents of picture i: the small picture with its noise, [3,h,w]. */
  #noisySmall(
    { lowRes, lowResNoise }: GenerateOptions,
    { seed, noiseLevel }: { readonly seed: number; readonly noiseLevel: number },
  ): (picture: number) => Float32Array {
    const { sqrtAlphasCumprod, sqrtOneMinusAlphasCumprod } = lowResSchedule(this.#base);
    const signal = sqrtAlphasCumprod[noiseLevel]!;
    const deviation = sqrtOneMinusAlphasCumprod[noiseLevel]!;
    const { data, shape } = lowRes!;
    return (i) => {
      const noise = lowResNoise
        ? lowResNoise.data.subarray(i * data.length, (i + 1) * data.length)
        : draws(seed + i).normal('low_res_noise', 0, shape.slice(1)).data;
      return Float32Array.from(data, (value, at) => signal * value + deviation * noise[at]!);
    };
  }

  /** The mean of a picture's latents [C,h,w], scaled, of pixels [1,3,H,W]. */
  async #encoded(pixels: Float32Array, shape: readonly number[]): Promise<Float32Array> {
    const [, , height, width] = shape as [number, number, number, number];
    const encoder = await this.#networks.executables.get(`vae-encode ${height}x${width}`, () => ({
      graph: encodePictureGraph(this.#base, height, width),
      weights: this.#base.weights,
    }));
    const { mean } = await encoder.run({ pixels: hostArray(pixels, shape) as HostArray });
    const { shiftFactor, scalingFactor } = this.#base.vae;
    return (mean!.data as Float32Array).map((value) => (value - shiftFactor) * scalingFactor);
  }

  /** Text states of each picture at each call, with the prompt and with the negative one. */
  #contexts(
    prompt: string,
    present: PresentValues,
    options: GenerateOptions,
    settings: { readonly n: number; readonly steps: number },
  ): Promise<Contexts> {
    const reading = this.#reading(options, settings);
    const { clipSkip } = reading;
    const known = new Map<string, Float32Array>();
    const encode = async (ids: readonly number[]): Promise<Float32Array> => {
      const key = ids.join();
      const states =
        known.get(key) ??
        (await this.#networks.textStates(ids, clipSkip, present, options.strengths));
      known.set(key, states);
      return states;
    };
    return contextsOf(this.#base, this.#words, prompt, reading, encode);
  }

  /** How prompts are read. */
  #reading(options: GenerateOptions, { n, steps }: { readonly n: number; readonly steps: number }) {
    const {
      clipSkip = 1,
      longPrompts = 'chunks',
      ...given
    } = {
      ...this.#defaults,
      ...defined(options),
    };
    return { ...given, clipSkip, longPrompts, n, steps };
  }

  get #words() {
    return this.#networks.applied.adapters.flatMap(({ tokens = [] }) => tokens);
  }

  async #decoded(
    latents: Float32Array,
    [height, width]: readonly [number, number],
    seed: number,
    present: PresentValues,
    { strengths }: GenerateOptions,
  ): Promise<Generated> {
    const shape = [this.#base.vae.latentChannels, height, width];
    const decoder = await this.#networks.decoder(height, width, present, strengths);
    const { pixels } = await decoder.run({
      latents: hostArray(latents, [1, ...shape]) as HostArray,
    });
    const rgb = toRgb(pixels as NdArray<Float32Array>);
    return {
      picture: ndarray(rgb.data, [rgb.height, rgb.width, 3]),
      latents: hostArray(latents, shape) as HostArray,
      seed,
    };
  }
}

/** Without the members that are undefined, which would hide a default. */
const defined = <T extends object>(options: T): T =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;

/** What the U-Net takes: each picture's latents with what stands beside them, for guidance twice. */
function inputOf(
  latents: Float32Array,
  one: number,
  beside: readonly Float32Array[],
  guided: boolean,
): Float32Array {
  const members = beside.map((other, i) =>
    packed([latents.subarray(i * one, (i + 1) * one), other]),
  );
  return packed(guided ? [...members, ...members] : members);
}

function packed(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((n, { length }) => n + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
