/** @file Prompts that reference programs trained on become the ids that they trained on. */
import { openBase } from '../../src/index.ts';
import { readFloat32, readPrompt } from '@sdft/models';
import { openSafetensors } from '@sdft/models/node';
import { expect, test } from 'vitest';
import { cases, fixture, json, microSteps } from './cases.ts';
import { recordOf } from './trajectory.ts';

test.for(cases.filter(({ folder }) => folder.startsWith('replay/')))('$name', async (one) => {
  const a1111 = one.folder.includes('a1111');
  const { placeholder_token_ids: rows } = json<{ placeholder_token_ids: readonly number[] }>(
    `${one.folder}/args.json`,
  );
  const token = a1111 ? 'a1111_thing' : '<thing>';
  const base = await openBase(fixture(one.base));
  const tokenizer = base.tokenizer.withPlaceholder(token, rows.length);
  const padId = base.textEncoder.padTokenId;
  // diffusers' script writes all words of the vectors out: "<thing> <thing>_1".
  const spelled = rows.map((_, i) => (i === 0 ? token : `${token}_${i}`)).join(' ');
  const { tensors } = openSafetensors(recordOf(one));
  const steps = microSteps(one);
  expect(steps.length).toBeGreaterThan(3);
  steps.forEach(({ prompts }, k) => {
    const chunks = prompts!.map((prompt) => readPrompt(tokenizer, prompt, 'original', { padId }));
    const ids = a1111
      ? chunks.map((each) => each.flatMap((chunk) => chunk.ids))
      : prompts!.map(
          (prompt) => tokenizer.encodePadded(prompt.replace(spelled, token), { padId }).ids,
        );
    const multipliers = tensors.get(`${k}.multipliers`);
    if (multipliers)
      expect(
        Float32Array.from(chunks.flatMap((each) => each.flatMap((chunk) => chunk.multipliers))),
      ).toEqual(readFloat32(multipliers));
    const stored = tensors.get(`${k}.input_ids`)!.read().slice();
    expect(ids.flat()).toEqual([...new BigInt64Array(stored.buffer)].map(Number));
    for (const row of ids) for (const id of rows) expect(row).toContain(id);
  });
});
