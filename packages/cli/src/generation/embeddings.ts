import { learnedKinds } from '@sdft/methods';
import type { Base, Learned } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';

/** A trained word, and what prompts call it. */
export interface Word extends Learned {
  readonly token: string;
  /** For people. */
  readonly text: string;
}

/**
 * Reads a trained word.
 * @throws UserError naming the file, where it is no embedding or does not fit the base
 */
export async function embedding(file: string, base: Base): Promise<Word> {
  try {
    const learned = await learnedKinds['embedding']!.open(file, base);
    const [word] = learned.adapter.tokens ?? [];
    return { ...learned, token: word!.token, text: `embedding ${file}: ${learned.text}` };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`--embedding ${error.message}`, { cause: error });
  }
}
