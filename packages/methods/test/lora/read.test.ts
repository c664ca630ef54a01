/** @file Files of PEFT, LyCORIS and kohya's network, read and applied. */
import { hostArray, type HostArray } from '@sdft/tensor';
import { describe, expect, test } from 'vitest';
import { openBase, openGenerator } from '../../src/index.ts';
import { loraKind } from '../../src/lora/loraKind.ts';
import { goldens, tensor } from '../support/fixtures.ts';
import { largestDifference } from './files.ts';
import { at, cases } from './oracles.ts';

/** Files of networks that are not trained here. */
const readOnly = ['lycoris-full', 'lycoris-norm', 'lycoris-dora-columns', 'peft-loha-core'];
const resultOf = (name: string): string =>
  at(readOnly.includes(name) ? `${name}.safetensors` : `${name}.result.safetensors`);

describe('read and applied:', () => {
  const latents = (name: string): Float32Array => tensor(at('latents.safetensors'), name);
  const start = hostArray(latents('start'), [1, 4, 8, 8]) as HostArray;

  /** Where ten steps of DDIM end with a file. */
  async function draw(file: string, strength?: number): Promise<Float32Array> {
    const base = await openBase(goldens('tiny-sd'));
    await using generator = await openGenerator(base, [
      { ...(await loraKind.open(file, base)), strength },
    ]);
    const [drawn] = await generator.generate('a photo of a cup', { steps: 10, latents: start });
    return drawn!.latents.data as Float32Array;
  }

  test.for([...cases.map(([name]) => name), ...readOnly])('%s', async (name) => {
    const drawn = await draw(resultOf(name));
    expect(largestDifference(drawn, latents(name))).toBeLessThanOrEqual(1e-3);
    expect(largestDifference(latents('base'), latents(name))).toBeGreaterThan(1e-2);
  });

  test.for(['lycoris-dora', 'lycoris-loha', 'lycoris-ia3', 'lycoris-full', 'lycoris-norm'])(
    '%s at strength 0 is the base',
    async (name) => {
      const drawn = await draw(resultOf(name), 0);
      expect(largestDifference(drawn, latents('base'))).toBeLessThanOrEqual(1e-3);
    },
  );
});
