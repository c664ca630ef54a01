import { hostArray, type HostArray, type Shape } from '@sdft/tensor';
import type { BatchSource, MicroBatch } from '../batches/source.ts';
import type { PromptEncoder } from '../encoding/promptEncoder.ts';
import type { StepShape, TrainGraph } from '../training/trainGraph.ts';

export type HostArrays = Record<string, HostArray>;

/** Batch and draws of micro-step k as the training graph takes them. */
export async function stepInputs(
  source: BatchSource,
  batch: MicroBatch,
  k: number,
  shape: StepShape,
  { draws, takes }: Pick<TrainGraph, 'draws' | 'takes'>,
  promptEncoder: PromptEncoder,
): Promise<HostArrays> {
  const [pictures, prompts] = await Promise.all([
    takes.latents ? pictureInputs(batch, shape) : {},
    takes.prompts ? promptInputs(batch, shape, promptEncoder) : {},
  ]);
  return {
    ...pictures,
    ...(takes.pixels && { pixel_values: await batch.pixels() }),
    ...prompts,
    ...(shape.weight && { weight: batch.weight() }),
    ...Object.fromEntries(draws.map((spec) => [spec.name, source.draw(spec, k)])),
  };
}

/** The same as a record holds it: pixels and ids as they came. */
export async function recordedTensors(
  source: BatchSource,
  batch: MicroBatch,
  k: number,
  { draws, takes }: Pick<TrainGraph, 'draws' | 'takes'>,
): Promise<HostArrays> {
  const ready = source.pictures === 'latents';
  return {
    ...((takes.pixels || !ready) && { pixel_values: await batch.pixels() }),
    ...(ready && { latents: batch.latents() }),
    ...(batch.ids ? { input_ids: idArray(batch.ids) } : { context: batch.context() }),
    ...(batch.multipliers && { multipliers: multiplierArray(batch.multipliers) }),
    ...(source.weight && { weight: batch.weight() }),
    ...Object.fromEntries(draws.map((spec) => [spec.name, source.draw(spec, k)])),
  };
}

async function pictureInputs(
  batch: MicroBatch,
  { pictures, ...shape }: StepShape,
): Promise<HostArrays> {
  if (pictures === 'latents') return { latents: batch.latents() };
  const moments = await batch.moments();
  const channels = moments[0]!.mean.length / (shape.latents[0] * shape.latents[1]);
  const full = [shape.batch, channels, ...shape.latents];
  return {
    latent_mean: joined(
      moments.map(({ mean }) => mean),
      full,
    ),
    latent_std: joined(
      moments.map(({ std }) => std),
      full,
    ),
  };
}

async function promptInputs(
  batch: MicroBatch,
  { text, batch: size, tokens, emphasis }: StepShape,
  encoder: PromptEncoder,
): Promise<HostArrays> {
  const { ids, multipliers } = batch;
  if (text === 'ids')
    return {
      input_ids: idArray(ids!),
      ...(emphasis && { multipliers: multiplierArray(multipliers!) }),
    };
  if (!ids) return { context: batch.context() };
  const states = await Promise.all(ids.map((row, i) => encoder.context(row, multipliers?.[i])));
  return { context: joined(states, [size, tokens, states[0]!.length / tokens]) };
}

const idArray = (ids: readonly (readonly number[])[]): HostArray =>
  hostArray(Int32Array.from(ids.flat()), [ids.length, ids[0]!.length]) as HostArray;

const multiplierArray = (rows: readonly (readonly number[])[]): HostArray =>
  hostArray(Float32Array.from(rows.flat()), [rows.length, rows[0]!.length]) as HostArray;

function joined(parts: readonly Float32Array[], shape: Shape): HostArray {
  const data = new Float32Array(parts.reduce((n, { length }) => n + length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return hostArray(data, shape) as HostArray;
}
