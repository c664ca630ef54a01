/** @file What both sides are told to do: handed to the child processes as JSON. */

/** The new word that is learned. */
export const token = '<new>';

/** Steps of Textual Inversion: one new row of the text encoder's vocabulary is trained. Everything that is computed follows from this and from the files that it names. */
export interface Task {
  /** A folder in diffusers layout. */
  readonly checkpoint: string;
  /** A record, as `sdft train --replay` takes it: `k.latents`, `k.noise`, `k.timesteps`, `k.input_ids` of step k. */
  readonly record: string;
  /** An embedding in diffusers' layout: what the row starts as. */
  readonly start: string;
  readonly lr: number;
  readonly threads: number;
  /** Ours only: compute blocks again for the gradient instead of keeping what is inside. */
  readonly recompute: boolean;
}

/** A contestant's first word: it can step now. */
export interface Ready {
  /** Of what it is made of, by name. */
  readonly versions: Readonly<Record<string, string>>;
}

/** What a step did. */
export interface Step {
  /** From the call to the moment at which loss and new row are known. */
  readonly seconds: number;
  readonly loss: number;
  /** AdamW's running mean of the row's gradients; after the first step it is a tenth of the gradient. */
  readonly moment: readonly number[];
  /** The row after the step. */
  readonly row: readonly number[];
}
