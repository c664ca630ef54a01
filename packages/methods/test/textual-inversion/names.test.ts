import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostArray, type HostArray } from '@sdft/tensor';
import { describe, expect, it } from 'vitest';
import {
  learnedKinds,
  openBase,
  pipeline,
  textualInversion,
  adamw,
  images,
} from '../../src/index.ts';
import { embeddingFiles } from '../../src/textual-inversion/embeddingFiles.ts';
import { goldens, temporaryFolder } from '../support/fixtures.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const base = await openBase(goldens('tiny-sd'));
const files = embeddingFiles('<cup>');
const vectors = hostArray(new Float32Array(12).fill(0.1), [1, 12]) as HostArray;
const written = async (name: string): Promise<string> => {
  await files.save(new Map([['', { vectors }]]), at(name), { step: 1, base: 'x', force: true });
  return at(name);
};
const wordIn = async (path: string) => {
  const { adapter, text } = await learnedKinds['embedding']!.open(path, base);
  return [adapter.tokens?.[0]?.token, text];
};

describe('a trained word is called', () => {
  it("as diffusers' files say", async () => {
    expect(await wordIn(await written('any.safetensors'))).toEqual([
      '<cup>',
      '1 vector; prompts call it <cup>',
    ]);
  });
  it("as A1111's are named", async () => {
    const path = await written('qzxv.pt');
    expect(await wordIn(path)).toEqual(['qzxv', '1 vector; prompts call it qzxv']);
  });
  it('as the name inside says, where the file has an ordinary one', async () => {
    copyFileSync(at('qzxv.pt'), at('cup.pt'));
    expect((await wordIn(at('cup.pt')))[0]).toBe('qzxv');
  });
  it('by the same in angle brackets, where there is no other', async () => {
    expect(await wordIn(await written('boy.pt'))).toEqual([
      '<boy>',
      '1 vector; prompts call it <boy>, as boy is a word already',
    ]);
  });
});

describe('a result for A1111 with the name of an ordinary word', () => {
  it('is warned of', () => {
    expect(files.warning!('a/boy.pt', base)).toMatch(
      /^a\/boy.pt: A1111 calls a word after its file, and boy is one.*call it <boy>/,
    );
    for (const path of ['a/qzxv.pt', 'boy.safetensors', 'boy.bin'])
      expect(files.warning!(path, base)).toBeUndefined();
  });

  it('before the run starts', async () => {
    const stem = pipeline()
      .model(goldens('tiny-sd'))
      .data(images(goldens('train/images'), { resolution: 64, template: 'a {}' }))
      .method(textualInversion({ token: '<my-cup>', init: 'cup' }))
      .optimizer(adamw({ lr: 1 }));
    const warnings = async (out: string) => {
      await using run = await stem.with({ save: { out } }).build();
      return run.plan.warnings.filter((warning) => warning.includes('A1111'));
    };
    expect(await warnings('boy.pt')).toHaveLength(1);
    expect(await warnings('boy.safetensors')).toHaveLength(0);
  });
});
