/** @file Where micro-steps get their pictures, prompts and draws: from data, or from a record. */
import type { HostArray, Shape } from '@sdft/tensor';
import type { Moments } from '../encoding/pictureEncoder.ts';
import type { DrawSpec } from '../training/tracedDraws.ts';

/** What there is to learn from. */
export interface DataCounts {
  /** Pictures of the subject. */
  readonly pictures: number;
  /** Their captions that differ, templates filled in. */
  readonly captions: number;
  /** Pictures of its class; none unless the data has them. */
  readonly classPictures: number;
  readonly classCaptions: number;
  /** Class pictures that are still to be drawn; none unless the run is a rehearsal. */
  readonly missing: number;
  /** Places of an epoch: each holds a picture of the subject, and one of the class where there are such. The fewer ones come several times. */
  readonly epoch: number;
}

export interface BatchSource {
  /** B: instance pictures, then class pictures. */
  readonly size: number;
  readonly instances: number;
  /** [height, width] of the latents. */
  readonly latents: readonly [number, number];
  /** [height, width] of the pictures; undefined where a record holds only latents. */
  readonly pixels: readonly [number, number] | undefined;
  /** Tokens of each prompt. */
  readonly tokens: number;
  readonly pictures: 'moments' | 'latents';
  /** What prompts come as. */
  readonly prompts: { readonly ids: boolean; readonly context: boolean };
  /** Whether multipliers come with the ids. */
  readonly emphasis: boolean;
  /** Shape of the loss weight, where there is one. */
  readonly weight?: Shape | undefined;
  /** How many micro-steps there are; undefined: without end. */
  readonly microSteps?: number | undefined;
  /** Undefined where batches come from a record. */
  readonly counts?: DataCounts | undefined;
  /** What a person may want to know. */
  readonly warnings: readonly string[];
  /** Throws UserError where it cannot give a draw that the graph asks for. */
  check(draws: readonly DrawSpec[]): void;
  /** The batch of micro-step k = 0, 1, ..., whichever were asked for before. */
  batch(k: number): Promise<MicroBatch>;
  /** A draw of micro-step k; the shape is the one that was asked for. */
  draw(spec: DrawSpec, k: number): HostArray;
}

/** What one micro-step trains on, draws aside. Everything is computed when it is asked for. */
export interface MicroBatch {
  /** Of each picture; where pictures come as moments. */
  moments(): Promise<readonly Moments[]>;
  /** [B,C,h,w], scaled; where pictures come as latents. */
  latents(): HostArray;
  /** [B,3,H,W] in -1..1; where the source has a size of pictures. */
  pixels(): Promise<HostArray>;
  /** Ids of each prompt, where prompts come as ids. */
  readonly ids?: readonly (readonly number[])[] | undefined;
  /** What the states of those ids are multiplied by; where the source has emphasis. */
  readonly multipliers?: readonly (readonly number[])[] | undefined;
  /** [B,L,D], where prompts come as text states. */
  context(): HostArray;
  weight(): HostArray;
}
