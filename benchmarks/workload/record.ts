/** @file What both sides train on: a record of batches and draws, and the row's first value. */
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { weightOf } from '@sdft/models';
import { openCheckpoint, writeSafetensors } from '@sdft/models/node';
import { draws, type Weight } from '@sdft/tensor';
import { cache } from './models.ts';
import { type Task, token } from './task.ts';

export interface Size {
  readonly batch: number;
  /** Height and width of the latents; the picture is 8 times as high and wide. */
  readonly latents: number;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength) as Uint8Array;
const f32 = (shape: readonly number[], data: Float32Array): Weight =>
  weightOf('f32', shape, bytesOf(data));
const i64 = (shape: readonly number[], data: Int32Array): Weight =>
  weightOf('i64', shape, bytesOf(BigInt64Array.from(data, BigInt)));

/**
 * Writes both files, named after what they hold. The same arguments give the same bytes.
 *
 * @param options `word`: whether prompts hold the new word
 */
export async function writeRecord(
  checkpoint: string,
  { batch, latents }: Size,
  steps: number,
  { word = true }: { readonly word?: boolean } = {},
): Promise<Pick<Task, 'record' | 'start'>> {
  const { unet, textEncoder: text, schedule } = await openCheckpoint(checkpoint);
  const { normal, integers } = draws(0);
  const sample = [batch, unet.inChannels, latents, latents];
  const length = text.maxPositionEmbeddings;
  const tensors = new Map<string, Weight>();
  for (let k = 0; k < steps; k++) {
    for (const name of ['latents', 'noise'])
      tensors.set(`${k}.${name}`, f32(sample, normal(name, k, sample).data));
    const timesteps = integers('timesteps', k, [batch], schedule.numTrainTimesteps);
    tensors.set(`${k}.timesteps`, i64([batch], timesteps.data));
    const words = integers('words', k, [batch, length], text.bosTokenId).data;
    const ids = words.map((id, i) =>
      word || i % length !== 4 ? promptId(id, i % length, Math.floor(i / length), text) : id,
    );
    tensors.set(`${k}.input_ids`, i64([batch, length], ids));
  }
  const width = [1, text.hiddenSize];
  const row = normal('row', 0, width).data.map((x) => 0.02 * x);
  mkdirSync(cache, { recursive: true });
  const what = JSON.stringify([checkpoint, batch, latents, steps, word]);
  const stem = cache + createHash('sha256').update(what).digest('hex').slice(0, 12);
  const record = `${stem}.record.safetensors`;
  const start = `${stem}.start.safetensors`;
  await writeSafetensors(record, tensors, { force: true });
  await writeSafetensors(start, new Map([[token, f32(width, row)]]), { force: true });
  return { record, start };
}

/** A prompt: start, a few random words with the new one (numbered from the vocabulary's size upward) among them, end tokens to the end. */
function promptId(
  word: number,
  at: number,
  prompt: number,
  text: { bosTokenId: number; eosTokenId: number; vocabSize: number },
): number {
  if (at === 0) return text.bosTokenId;
  if (at === 4) return text.vocabSize;
  return at < 6 + prompt ? word : text.eosTokenId;
}
