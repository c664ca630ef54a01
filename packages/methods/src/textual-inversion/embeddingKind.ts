import { hashFile } from '@sdft/models/node';
import { type Base, type Learned, type LearnedKind } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import { stemOf } from '../files/stemOf.ts';
import { wordOf } from './names.ts';
import { readEmbedding } from './readEmbedding.ts';
import { textualInversion } from './textualInversion.ts';

/** Files of trained words. A word's name is the one that diffusers' files hold, else the file's own, as in A1111; `wordOf` says what happens where that is taken. */
export const embeddingKind: LearnedKind = {
  name: 'embedding',
  summary: 'a trained word',
  endings: ['.safetensors', '.pt', '.bin', '.png'],
  async open(
    file: string,
    base: Base,
    { name: called }: { readonly name?: string } = {},
  ): Promise<Learned> {
    const { name, layout, vectors, width } = await readEmbedding(file);
    if (width !== base.textEncoder.hiddenSize)
      throw new UserError(
        `${file}: its vectors are ${width} wide, those of ${base.name} ${base.textEncoder.hiddenSize}: it was trained on another kind of model`,
      );
    const names =
      called === undefined && layout === 'diffusers' && name !== undefined
        ? [name]
        : [called ?? stemOf(file), ...(name === undefined ? [] : [name])];
    const token = wordOf(names, base.tokenizer);
    if (token === undefined)
      throw new UserError(
        `${file}: ${names.join(' and ')} cannot name a new word, as the vocabulary has it already; rename the file`,
      );
    return {
      adapter: textualInversion({ token, vectors }).adapters[0]!,
      file,
      // A1111 `modules/textual_inversion/textual_inversion.py`, `set_hash`.
      mark: {
        setting: 'TI hashes',
        digits: async () => (await hashFile(file)).sha256.slice(0, 12),
      },
      text: `${vectors} ${vectors === 1 ? 'vector' : 'vectors'}; prompts call it ${token}${names[0] === token ? '' : `, as ${names[0]} is a word already`}`,
    };
  },
};
