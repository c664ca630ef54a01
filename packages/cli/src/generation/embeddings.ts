import { basename, extname } from 'node:path';
import { readEmbedding, textualInversion } from '@sdft/methods';
import type { Base, Learned } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';
import { counted } from '../terminal/quantities.ts';

/** A trained word, and what prompts call it. */
export interface Word extends Learned {
  readonly token: string;
  /** For people. */
  readonly text: string;
}

/**
 * Reads a trained word. Its name is the one that diffusers' files hold, else the file's own, as in A1111; where that is a word already, the one inside the file.
 * @throws UserError naming the file, where it is no embedding or no name is free
 */
export async function embedding(file: string, base: Base): Promise<Word> {
  const { name, layout, vectors, width } = await readEmbedding(file);
  if (width !== base.textEncoder.hiddenSize)
    throw new UserError(
      `--embedding ${file}: its vectors are ${width} wide, those of ${base.name} ${base.textEncoder.hiddenSize}: it was trained on another kind of model`,
    );
  const stem = basename(file, extname(file));
  const names =
    layout === 'diffusers' && name !== undefined
      ? [name]
      : [stem, ...(name === undefined ? [] : [name])];
  const token = names.find((candidate) => isFree(candidate, vectors, base));
  if (token === undefined)
    throw new UserError(
      `--embedding ${file}: ${names.join(' and ')} cannot name a new word, as the vocabulary has it already; rename the file`,
    );
  return {
    adapter: textualInversion({ token, vectors }),
    file,
    token,
    text: `embedding ${file}: ${counted(vectors, 'vector')}; prompts call it ${token}`,
  };
}

function isFree(token: string, vectors: number, { tokenizer }: Base): boolean {
  try {
    tokenizer.withPlaceholder(token, vectors);
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}
