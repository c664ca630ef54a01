/** @file The networks with adapters applied, compiled for the shapes that are asked for, which hold the present values of what is trained. */
import {
  type Executable,
  type Graph,
  hostArray,
  type HostArray,
  type StateValue,
  valueOf,
} from '@sdft/tensor';
import type { Base } from '../training/base.ts';
import { trainableState } from '../training/update.ts';
import type { Executables, Loaded } from './executables.ts';
import {
  type Applied,
  decodePictureGraph,
  denoiseGraph,
  encodeTextGraph,
  strengthState,
} from './graphs.ts';

/** Present values of trainables, which hold while networks are asked, with a number that changes when they do. */
export interface PresentValues {
  readonly version: number;
  readonly values: ReadonlyMap<string, StateValue>;
}

/** What an executable holds. */
interface Held {
  readonly version: number;
  readonly strengths: string;
}

/** What a U-Net is compiled for. */
export type DenoiseShape = Parameters<typeof denoiseGraph>[1];

/** The networks of a base, with what was learned. Values are read where they lie: nothing is held twice. */
export class AdaptedNetworks {
  readonly base: Base;
  readonly applied: Applied;
  /** Where they are compiled. */
  readonly executables: Executables;
  readonly #held = new WeakMap<Executable, Held>();

  constructor(base: Base, executables: Executables, applied: Applied) {
    this.base = base;
    this.executables = executables;
    this.applied = applied;
  }

  /** What `denoiseGraph` computes. */
  unet(shape: DenoiseShape, present: PresentValues, strengths?: readonly number[]) {
    const { batch, height, width, tokens } = shape;
    return this.#ready(
      `unet ${batch} of ${height}x${width} ${tokens}`,
      () => denoiseGraph(this.base, shape, this.applied),
      present,
      strengths,
    );
  }

  /** What `decodePictureGraph` computes. */
  decoder(height: number, width: number, present: PresentValues, strengths?: readonly number[]) {
    return this.#ready(
      `vae-decode ${height}x${width}`,
      () => decodePictureGraph(this.base, height, width, this.applied),
      present,
      strengths,
    );
  }

  /** States [ids.length, width], row-major, of a prompt's ids with start and end. */
  async textStates(
    ids: readonly number[],
    clipSkip: number,
    present: PresentValues,
    strengths?: readonly number[],
  ): Promise<Float32Array> {
    const encoder = await this.#ready(
      `text ${ids.length} skip ${clipSkip}`,
      () => encodeTextGraph(this.base, ids.length, clipSkip, this.applied),
      present,
      strengths,
    );
    const { context } = await encoder.run({
      input_ids: hostArray(Int32Array.from(ids), [1, ids.length]) as HostArray,
    });
    return context!.data as Float32Array;
  }

  /** An executable that holds the present values of the trainables. */
  async #ready(
    key: string,
    graph: () => Graph,
    { version, values }: PresentValues,
    given: readonly number[] = [],
  ): Promise<Loaded> {
    const executable = await this.executables.get(`adapted ${key}`, () => ({
      graph: graph(),
      weights: this.base.weights,
    }));
    const strengths = this.applied.adapters.map((_, i) => given[i] ?? 1);
    const held = this.#held.get(executable);
    const has = new Set(executable.states);
    if (held?.version !== version)
      for (const [name, value] of values)
        if (has.has(trainableState(name)))
          await executable.borrow(trainableState(name), valueOf(value));
    if (held?.strengths !== strengths.join())
      for (const [i, strength] of strengths.entries())
        if (has.has(strengthState(i)))
          await executable.write(
            strengthState(i),
            hostArray(Float32Array.of(strength), []) as HostArray,
          );
    this.#held.set(executable, { version, strengths: strengths.join() });
    return executable;
  }
}
