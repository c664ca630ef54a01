/** @file How well pictures are denoised that nothing is trained on: a loss that tells learning from learning by heart. */
import { fill, type ImageSet, type Provides } from '@sdft/data';
import { type Emphasis, emphasise, scalingOf } from '@sdft/models';
import { draws, hostArray, type HostArray, type MemoryPlan, nullBackend } from '@sdft/tensor';
import { cutCaptions } from '../batches/captions.ts';
import type { AdaptedNetworks, DenoiseShape, PresentValues } from '../encoding/adaptedNetworks.ts';
import { denoiseGraph } from '../encoding/graphs.ts';
import { PictureEncoder } from '../encoding/pictureEncoder.ts';
import type { Prompts } from '../encoding/prompts.ts';
import { pixelsPerLatent } from '../training/base.ts';

/** The key of all noise: no seed of a run has a say in it. */
const KEY = 0;
/** Latents that go through the U-Net together. The same for every run, so that its last bits are, too; those of Stable Diffusion 1.5 at 512 pixels take 0.6 GB. */
const TOGETHER = 4;
/** Timesteps at which a picture is denoised, where nothing is said. */
export const defaultDraws = 8;

export interface ValidationParts {
  readonly networks: AdaptedNetworks;
  readonly set: ImageSet<Provides>;
  readonly prompts: Prompts;
  /** What is trained, as templates are filled with it. */
  readonly name: string | undefined;
  /** Timesteps at which each picture is denoised. */
  readonly draws: number;
  readonly clipSkip: number;
  readonly emphasis: Emphasis;
}

/** What is computed for one picture. */
interface HeldOut {
  /** The file's name, composed as most systems have it, so that the same picture gets the same noise. */
  readonly name: string;
  readonly caption: string;
}

/**
 * The validation loss: the mean of (prediction - target)^2 over all elements, pictures and timesteps, where the target is noise or v, as the base says (Ho et al. 2020, equation 14; Salimans and
 * Ho 2022). Nothing in it is left to chance: latents are the means of their posteriors, scaled; timestep i of K is floor((i + 0.5) T / K); the noise is a function of file name and timestep alone;
 * picture i has template i, modulo their number. It is not weighted, and nothing is mirrored or dropped. So two runs on the same base, pictures and captions can be compared by it,
 * whatever they train and from whichever seed. Weights that are trained are multiplied by other kernels than frozen ones, which may move the loss by 1e-7 of itself.
 */
export class Validator {
  /** What a person may want to know about the pictures. */
  readonly warnings: readonly string[];
  readonly pictures: number;
  readonly timesteps: readonly number[];
  readonly #parts: ValidationParts;
  readonly #heldOut: readonly HeldOut[];
  readonly #encoder: PictureEncoder;
  /** Of each picture [C,h,w], scaled; they never change. */
  #latents: Promise<Float32Array[]> | undefined;

  constructor(parts: ValidationParts) {
    const { networks, set, prompts, name } = parts;
    this.#parts = parts;
    this.#encoder = new PictureEncoder(networks.base, networks.executables, { budget: 0 });
    const { length } = networks.base.schedule;
    this.timesteps = Array.from({ length: parts.draws }, (_, i) =>
      Math.floor(((i + 0.5) * length) / parts.draws),
    );
    this.pictures = set.items.length;
    this.#heldOut = set.items.map(({ file, filewords }, i) => ({
      name: file.normalize('NFC'),
      caption: fill(set.templates[i % set.templates.length]!, { name, filewords }),
    }));
    const captions = [...new Set(this.#heldOut.map(({ caption }) => caption))];
    this.warnings = [
      ...set.warnings,
      ...withoutWord(prompts, captions),
      ...cutCaptions(prompts, captions),
    ].map((warning) => `validation: ${warning}`);
  }

  /**
   * The loss with these values of what is trained; undefined where `signal` ended it before it was whole.
   *
   * @throws UserError where a picture cannot be read
   */
  async loss(
    present: PresentValues,
    options: {
      readonly strengths?: readonly number[] | undefined;
      readonly signal?: AbortSignal | undefined;
    } = {},
  ): Promise<number | undefined> {
    const { networks } = this.#parts;
    this.#latents ??= this.#encoded();
    const latents = await this.#latents;
    const contexts = await this.#contexts(present, options.strengths);
    let sum = 0;
    let count = 0;
    for (const [i, { name, caption }] of this.#heldOut.entries())
      for (let first = 0; first < this.timesteps.length; first += TOGETHER) {
        if (options.signal?.aborted) return undefined;
        const timesteps = this.timesteps.slice(first, first + TOGETHER);
        const noisy = timesteps.map((t) => this.#noisy(latents[i]!, name, t));
        const { batch, inputs } = this.#inputs(
          noisy.map(({ sample }) => sample),
          timesteps,
          contexts.get(caption)!,
        );
        const unet = await networks.unet(batch, present, options.strengths);
        const { prediction } = await unet.run(inputs);
        const said = prediction!.data as Float32Array;
        for (const [j, { target }] of noisy.entries()) {
          sum += squaredError(said.subarray(j * target.length), target);
          count += target.length;
        }
      }
    return sum / count;
  }

  /** What the network that denoises needs; nothing is computed. */
  async memory(): Promise<MemoryPlan> {
    const { networks, prompts } = this.#parts;
    const shape = this.#shape(prompts.window * this.#windows());
    const { memory } = await nullBackend.compile(
      denoiseGraph(networks.base, shape, networks.applied),
    );
    return memory;
  }

  /** What the U-Net is compiled for. */
  #shape(tokens: number): DenoiseShape {
    const [height, width] = this.#cells();
    return { batch: Math.min(TOGETHER, this.timesteps.length), height, width, tokens };
  }

  /** Windows of the text encoder that the longest caption needs. */
  #windows(): number {
    const { prompts } = this.#parts;
    return Math.max(...this.#heldOut.map(({ caption }) => prompts.windowsOf(caption)));
  }

  /** Latents with noise [C,h,w], and what the U-Net is to say about them. */
  #noisy(latents: Float32Array, name: string, timestep: number) {
    const { schedule } = this.#parts.networks.base;
    const noise = draws(KEY).normal(`validation ${name}`, timestep, [latents.length]).data;
    const signal = schedule.sqrtAlphasCumprod[timestep]!;
    const deviation = schedule.sqrtOneMinusAlphasCumprod[timestep]!;
    return {
      sample: latents.map((value, at) => signal * value + deviation * noise[at]!),
      target:
        schedule.config.predictionType === 'epsilon'
          ? noise
          : latents.map((value, at) => signal * noise[at]! - deviation * value),
    };
  }

  /** A batch as the U-Net takes it, with its shape; it is filled up with the last one, as one executable serves all. */
  #inputs(samples: readonly Float32Array[], timesteps: readonly number[], context: Float32Array) {
    const { base } = this.#parts.networks;
    const tokens = context.length / base.unet.crossAttentionDim;
    const shape = this.#shape(tokens);
    const { batch: size, height, width } = shape;
    const one = samples[0]!.length;
    const sample = new Float32Array(size * one);
    const timestep = new Float32Array(size);
    const states = new Float32Array(size * context.length);
    for (let j = 0; j < size; j++) {
      const member = Math.min(j, samples.length - 1);
      sample.set(samples[member]!, j * one);
      timestep[j] = timesteps[member]!;
      states.set(context, j * context.length);
    }
    const array = (data: Float32Array, shape: readonly number[]) =>
      hostArray(data, shape) as HostArray;
    return {
      batch: shape,
      inputs: {
        sample: array(sample, [size, base.unet.inChannels, height, width]),
        timestep: array(timestep, [size]),
        context: array(states, [size, tokens, base.unet.crossAttentionDim]),
      },
    };
  }

  /** Text states of every caption: before the U-Net's turn, as there may be no room for both networks. */
  async #contexts(
    present: PresentValues,
    strengths: readonly number[] | undefined,
  ): Promise<ReadonlyMap<string, Float32Array>> {
    const { networks, prompts, clipSkip, emphasis } = this.#parts;
    const captions = new Set(this.#heldOut.map(({ caption }) => caption));
    const windows = this.#windows();
    const how = scalingOf(emphasis);
    const contexts = new Map<string, Float32Array>();
    for (const caption of captions) {
      const ids = prompts.ids(caption, windows);
      const states = await networks.textStates(ids, clipSkip, present, strengths);
      const multipliers = prompts.multipliers(caption, windows);
      contexts.set(
        caption,
        how && multipliers ? emphasise([{ states, multipliers }], prompts.window, how)[0]! : states,
      );
    }
    return contexts;
  }

  async #encoded(): Promise<Float32Array[]> {
    const { networks, set } = this.#parts;
    const { scalingFactor, shiftFactor } = networks.base.vae;
    const [height, width] = this.#cells();
    const latents: Float32Array[] = [];
    for (const [i, { file }] of set.items.entries()) {
      const { mean } = await this.#encoder.moments(
        file,
        height * width,
        async () => (await set.pixels(i)) as HostArray,
      );
      latents.push(mean.map((value) => (value - shiftFactor) * scalingFactor));
    }
    return latents;
  }

  /** [height, width] of the latents. */
  #cells(): readonly [number, number] {
    const { set, networks } = this.#parts;
    const scale = pixelsPerLatent(networks.base);
    return [set.height / scale, set.width / scale];
  }
}

function squaredError(said: Float32Array, target: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < target.length; at++) sum += (said[at]! - target[at]!) ** 2;
  return sum;
}

/** What is learned of a word shows only where captions say it. */
function withoutWord({ taught }: Prompts, captions: readonly string[]): string[] {
  const words = taught.map(({ token }) => token);
  const says = (caption: string): boolean =>
    words.some((word) => caption.toLowerCase().includes(word.toLowerCase()));
  if (words.length === 0 || captions.some(says)) return [];
  return [
    `no caption contains ${words.join(' or ')} ("${captions[0]}", for one), so what is learned does not show; say how captions are made with validation.template, such as "a drawing of {}"`,
  ];
}
