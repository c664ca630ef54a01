/**
 * @file Written embeddings, as the programs that they are meant for read them. `tools/embeddings/check_written.py` gave files with these hashes to
 * torch.load(weights_only=True), to diffusers' load_textual_inversion and to A1111's own guard and reader, and kept the ids and latents of diffusers' pictures.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openSafetensors } from '@sdft/models/node';
import { openGenerator } from '@sdft/pipeline';
import { hostArray, type HostArray } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import { adamw, openBase, pipeline, textualInversion } from '../../src/index.ts';
import { goldens, json, pathOf, temporaryFolder, tensor, using } from '../support/fixtures.ts';

const fixture = (file: string): string => pathOf(`fixtures/embeddings/${file}`);
const samples = json<
  readonly {
    readonly file: string;
    readonly token: string;
    readonly vectors: number;
    readonly from: string;
    readonly prompt: string;
  }[]
>(fixture('samples.json'));
const { sha256 } = json<{ sha256: Readonly<Record<string, string>> }>(fixture('checked.json'));
const folder = temporaryFolder();
const diffusers = (name: string): Float32Array => tensor(fixture('diffusers.safetensors'), name);

/** What the sampler ends with, [2,4,8,8] as one list, from the noise that diffusers began with. */
async function drawn(prompt: string, learned: Parameters<typeof openGenerator>[1] = []) {
  const start = openSafetensors(fixture('start.safetensors')).tensors.get('latents')!;
  await using generator = await openGenerator(await openBase(goldens('tiny-sd')), learned);
  const pictures = await generator.generate(prompt, {
    latents: hostArray(tensor(fixture('start.safetensors'), 'latents'), start.shape) as HostArray,
    ...{ negative: 'blurry', sampler: 'ddim', steps: 10, cfg: 7.5 },
  });
  return pictures.flatMap(({ latents }) => [...latents.data]);
}

const largestDifference = (some: readonly number[], others: Float32Array): number => {
  expect(some.length).toBe(others.length);
  return Math.max(...some.map((value, i) => Math.abs(value - others[i]!)));
};

describe.each(samples)('$file', ({ file, token, vectors, from, prompt }) => {
  const path = join(folder, file);

  it('is written byte for byte as other programs read it', async () => {
    const source = pathOf(`fixtures/${from}`);
    const building = pipeline()
      .model(goldens('tiny-sd'))
      .method(textualInversion({ token, vectors }))
      .optimizer(adamw({ lr: 1e-3 }))
      .initFrom(join(source, 'result.safetensors'))
      .build({ replay: join(source, 'replay.safetensors') });
    await using(building, (run) => run.save(path));
    expect(createHash('sha256').update(readFileSync(path)).digest('hex')).toBe(sha256[file]);
  });

  it('gives a prompt the ids that it has in diffusers', async () => {
    const { tokenizer, textEncoder } = await openBase(goldens('tiny-sd'));
    const { ids } = tokenizer
      .withPlaceholder(token, vectors)
      .encodePadded(prompt, { padId: textEncoder.padTokenId });
    expect(ids).toEqual([...diffusers(`${file}.cond_ids`)]);
  });

  it("draws diffusers' pictures", async () => {
    const theirs = diffusers(`${file}.final_latents`);
    const adapter = textualInversion({ token, vectors });
    const ours = await drawn(prompt, [{ adapter, file: path }]);
    // Latents reach 27 to 39 here; the difference is 5e-5.
    expect(largestDifference(ours, theirs)).toBeLessThanOrEqual(1e-3);
    // The embedding matters: without it, the pictures are others.
    expect(largestDifference(await drawn(prompt), theirs)).toBeGreaterThan(1);
  });
});
