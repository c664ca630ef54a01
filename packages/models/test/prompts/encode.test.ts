import { hostArray, type HostArray, reference, trace } from '@sdft/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodePromptChunks } from '../../src/clip/clipText.ts';
import { openCheckpoint } from '../../src/node/openCheckpoint.ts';
import { openSafetensors } from '../../src/node/safetensorsFile.ts';
import { readFloat32 } from '../../src/checkpoint/floats.ts';
import { clipTokenizer } from '../../src/node/tokenizerFiles.ts';
import {
  type Emphasis,
  emphasise,
  emphasised,
  type ScalingEmphasis,
} from '../../src/prompts/emphasis.ts';
import { readPrompt } from '../../src/prompts/readPrompt.ts';
import { Scope } from '../../src/scope.ts';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { fixture } from '../tokenizer/fixtures.ts';

const file = (path: string): string =>
  new URL(`../../../../fixtures/${path}`, import.meta.url).pathname;

const { cases, conditionings } = fixture<{
  cases: [text: string, emphasis: string, chunks: [number[], [number, number][]][]][];
  conditionings: string[][];
}>('prompts/chunks.json');
const emphasisOf = (name: string): Emphasis => name.toLowerCase().replace(' ', '-') as Emphasis;

let clip: Tokenizer;
beforeAll(async () => {
  clip = await clipTokenizer();
});

describe('readPrompt', () => {
  it('gives the ids and multipliers of A1111', () => {
    expect(cases.length).toBeGreaterThan(60);
    for (const [text, emphasis, chunks] of cases) {
      const whole = chunks.map(([ids, others]) => {
        const multipliers = Array<number>(77).fill(1);
        for (const [place, multiplier] of others) multipliers[place] = multiplier;
        return { ids: [...ids, ...Array<number>(77 - ids.length).fill(ids.at(-1)!)], multipliers };
      });
      expect(readPrompt(clip, text, emphasisOf(emphasis)), `${text} (${emphasis})`).toEqual(whole);
    }
  });

  it('keeps the chunks of BREAK and drops the weights where emphasis is ignored', () => {
    const [first, second] = readPrompt(clip, 'a (cat:1.5) BREAK dog', 'ignore');
    expect(first!.ids.slice(0, 4)).toEqual([49406, 320, 2368, 49407]);
    expect(second!.ids.slice(0, 3)).toEqual([49406, 1929, 49407]);
    expect([...first!.multipliers, ...second!.multipliers].every((m) => m === 1)).toBe(true);
  });
});

describe('emphasis', () => {
  const stored = openSafetensors(file('prompts/conditionings.safetensors')).tensors;

  /** The prompts of a case, all with as many chunks. */
  function chunksOf(index: number, emphasis: Emphasis) {
    const prompts = conditionings[index]!.map((text) => readPrompt(clip, text, emphasis));
    const most = Math.max(...prompts.map(({ length }) => length));
    const [empty] = readPrompt(clip, '', emphasis);
    return prompts.map((chunks) => [
      ...chunks,
      ...Array.from({ length: most - chunks.length }, () => empty!),
    ]);
  }

  async function states(index: number, skip: number, emphasis: Emphasis, inGraph: boolean) {
    const { textEncoder, weights } = await openCheckpoint(file('goldens/tiny-sd'));
    const prompts = chunksOf(index, emphasis);
    const [batch, chunks] = [prompts.length, prompts[0]!.length];
    const graph = trace((t) => {
      const ids = t.input('ids', [batch, chunks, 77], 'i32');
      const plain = encodePromptChunks(new Scope(t, 'text_encoder'), textEncoder, ids, {
        clipSkip: skip,
      });
      const width = plain.shape.at(-1)!;
      return {
        outputs: {
          states: inGraph
            ? emphasised(
                plain.reshape([batch, chunks, 77, width]),
                t.input('multipliers', [batch, chunks, 77]),
                emphasis as ScalingEmphasis,
              ).reshape(plain.shape)
            : plain,
        },
      };
    });
    const executable = await reference.compile(graph, { weights });
    const result = await executable.run({
      ids: hostArray(Int32Array.from(prompts.flat().flatMap((chunk) => chunk.ids)), [
        batch,
        chunks,
        77,
      ]) as HostArray,
      ...(inGraph && {
        multipliers: hostArray(
          Float32Array.from(prompts.flat().flatMap((chunk) => chunk.multipliers)),
          [batch, chunks, 77],
        ) as HostArray,
      }),
    });
    await executable.dispose();
    return { prompts, data: result['states']!.data as Float32Array };
  }

  const keys = [...stored.keys()].map((key) => {
    const [index, skip, emphasis] = key.split('.') as [string, string, Emphasis];
    return [key, Number(index), Number(skip.slice(4)), emphasis] as const;
  });

  it.each(keys)('gives the conditioning %s of A1111', async (key, index, skip, emphasis) => {
    const expected = readFloat32(stored.get(key)!);
    const { prompts, data } = await states(index, skip, emphasis, false);
    const each = data.length / prompts.length;
    const encoded = prompts.map((chunks, i) => ({
      states: data.slice(i * each, (i + 1) * each),
      multipliers: chunks.flatMap(({ multipliers }) => multipliers),
    }));
    const scales = emphasis === 'original' || emphasis === 'no-norm';
    const results = scales
      ? emphasise(encoded, 77, emphasis)
      : encoded.map((prompt) => prompt.states);
    expect(
      largestDifference(
        results.flatMap((result) => [...result]),
        expected,
      ),
    ).toBeLessThan(1e-5);
  });

  it.each(keys.filter(([, , , emphasis]) => emphasis === 'original' || emphasis === 'no-norm'))(
    'gives the conditioning %s in the graph, too',
    async (key, index, skip, emphasis) => {
      const { data } = await states(index, skip, emphasis, true);
      expect(largestDifference([...data], readFloat32(stored.get(key)!))).toBeLessThan(1e-5);
    },
  );
});

function largestDifference(got: readonly number[], expected: Float32Array): number {
  expect(got.length).toBe(expected.length);
  return got.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
}
