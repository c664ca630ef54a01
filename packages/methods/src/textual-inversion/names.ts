/** @file What a trained word is called. */
import type { Base } from '@sdft/pipeline';
import { UserError } from '@sdft/tensor';

/**
 * The first of the names that is no word of the vocabulary yet, else the first one in angle brackets: `<boy>` for `boy.pt`. (A1111 would let the embedding take the
 * ordinary word's place.) Undefined where that is taken as well.
 */
export const wordOf = (
  names: readonly string[],
  tokenizer: Base['tokenizer'],
): string | undefined => [...names, `<${names[0]}>`].find((name) => isFree(name, tokenizer));

function isFree(token: string, tokenizer: Base['tokenizer']): boolean {
  try {
    tokenizer.withPlaceholder(token, 1);
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}
