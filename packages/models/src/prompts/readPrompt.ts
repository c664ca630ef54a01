import type { WeightedChunk } from '../tokenizer/chunks.ts';
import type { ChunkOptions, Tokenizer } from '../tokenizer/tokenizer.ts';
import { isBreak, parseAttention } from './attention.ts';
import type { Emphasis } from './emphasis.ts';

/**
 * The chunks of a prompt as A1111 reads it: emphasis, `BREAK`, breaks after commas. At least one.
 *
 * @throws UserError for a weight that is no number, or a placeholder longer than a chunk
 */
export function readPrompt(
  tokenizer: Tokenizer,
  prompt: string,
  emphasis: Emphasis,
  options: ChunkOptions = {},
): WeightedChunk[] {
  if (emphasis === 'none') return tokenizer.encodeWeighted([{ text: prompt, weight: 1 }], options);
  const parts = parseAttention(prompt);
  return tokenizer.encodeWeighted(
    emphasis === 'ignore'
      ? parts.map((part) => (isBreak(part) ? part : { ...part, weight: 1 }))
      : parts,
    options,
  );
}
