import { readFloat32 } from '@sdft/models';
import { openSafetensors } from '@sdft/models/node';
import { hostArray, type HostArray, reference, UserError } from '@sdft/tensor';
import { beforeAll, describe, expect, it } from 'vitest';
import { encodeTextGraph, nothing } from '../../src/encoding/graphs.ts';
import { type Contexts, type ContextOptions, contextsOf } from '../../src/generation/contexts.ts';
import { type Base, openBase } from '../../src/index.ts';
import { base as path, pathOf } from '../support/small.ts';

let base: Base;
let encode: (ids: readonly number[]) => Promise<Float32Array>;
beforeAll(async () => {
  base = await openBase(path);
  const executables = new Map<number, ReturnType<typeof reference.compile>>();
  encode = async (ids) => {
    const known =
      executables.get(ids.length) ??
      reference.compile(encodeTextGraph(base, ids.length, 1, nothing), { weights: base.weights });
    executables.set(ids.length, known);
    const { context } = await (await known).run({
      input_ids: hostArray(Int32Array.from(ids), [1, ids.length]) as HostArray,
    });
    return context!.data as Float32Array;
  };
});

const contexts = (prompt: string, options: Partial<ContextOptions> = {}): Promise<Contexts> =>
  contextsOf(
    base,
    [],
    prompt,
    { longPrompts: 'chunks', promptSyntax: 'a1111', n: 1, steps: 10, ...options },
    encode,
  );

describe('prompts that change from step to step', () => {
  it('say at each call what A1111 says, with the mean over all that they say', async () => {
    const stored = openSafetensors(pathOf('fixtures/prompts/conditionings.safetensors')).tensors;
    const expected = readFloat32(stored.get('4.skip1.original')!);
    const { cond, tokens } = await contexts('a [(cat:1.3):(dog:0.6):4], red');
    expect(tokens).toBe(77);
    const each = expected.length / 2;
    for (let call = 0; call < 12; call++) {
      const half = call <= 4 ? expected.subarray(0, each) : expected.subarray(each);
      const worst = cond(0, call).reduce((most, v, i) => Math.max(most, Math.abs(v - half[i]!)), 0);
      expect(worst, `call ${call}`).toBeLessThan(1e-5);
    }
  });

  it('alternate', async () => {
    const { cond } = await contexts('a [cat|dog]', { steps: 4 });
    const [cat, dog] = [await contexts('a cat'), await contexts('a dog')].map((c) => c.cond(0, 0));
    expect([0, 1, 2, 3, 4].map((call) => cond(0, call))).toEqual([cat, cat, dog, cat, dog]);
  });

  it('are filled up to the longest of them, the negative one included', async () => {
    const made = await contexts('a [cat:dog BREAK red:5]', { negative: 'a BREAK b BREAK c' });
    expect(made.tokens).toBe(3 * 77);
    expect([made.cond(0, 0), made.cond(0, 9), made.uncond(0, 0)].map((c) => c.length)).toEqual(
      Array(3).fill(3 * 77 * base.textEncoder.hiddenSize),
    );
  });
});

describe('a weight behind the prompt', () => {
  it('multiplies guidance', async () => {
    const made = await contexts('a cat :1.5');
    expect(made.weight).toBe(1.5);
    expect(made.cond(0, 0)).toEqual((await contexts('a cat')).cond(0, 0));
  });

  it('is text in plain prompts', async () => {
    const made = await contexts('a cat :1.5', { promptSyntax: 'plain' });
    expect(made.weight).toBe(1);
    expect(made.cond(0, 0)).not.toEqual((await contexts('a cat')).cond(0, 0));
  });
});

it('refuses what AND composes, but not in the negative prompt or a plain one', async () => {
  await expect(contexts('a cat AND a dog')).rejects.toThrow(UserError);
  await contexts('a cat', { negative: 'a AND b' });
  await contexts('a cat AND a dog', { promptSyntax: 'plain' });
});
