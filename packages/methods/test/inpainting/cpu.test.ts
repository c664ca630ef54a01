import { expect, test } from 'vitest';
import { cpu, images, lora, pipeline } from '../../src/index.ts';
import { goldens, reports } from '../support/fixtures.ts';
import { expectRun } from '../support/recordedRun.ts';
import { inpainting } from './cases.ts';

test("diffusers' training of an inpainting model, repeated on the cpu", () =>
  expectRun(inpainting, cpu()));

test('any method trains one, from pictures alone', async () => {
  await using run = await pipeline()
    .model(inpainting.base)
    .data(images(goldens('train/images'), { resolution: 32 }))
    .method(lora({ rank: 2 }))
    .build();
  const [report] = await reports(run, 1);
  expect(report!.loss).toBeGreaterThan(0);
  expect(report!.gradNorm).toBeGreaterThan(0);
});
