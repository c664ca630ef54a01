/** Entries of CLIP's own vocabulary. Larger embeddings have had tokens added behind them. */
const clipVocabulary = 49408;

/** Start and end token where a checkpoint does not name them: the last two of the vocabulary that the tokenizer came with. */
export function specialTokens(vocabSize: number): { bosTokenId: number; eosTokenId: number } {
  const size = Math.min(vocabSize, clipVocabulary);
  return { bosTokenId: Math.max(size - 2, 0), eosTokenId: size - 1 };
}
