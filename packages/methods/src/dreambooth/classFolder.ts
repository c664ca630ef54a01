/**
 * Where class pictures go that are given no folder: `class-images/BASE/PROMPT`, so that runs with the same base and prompt share theirs.
 *
 * @param base as a recipe names it
 */
export function classFolder(base: string, prompt: string): string {
  const name = base
    .split(/[\\/]/)
    .filter((part) => part !== '')
    .at(-1)
    ?.replace(/\.[a-z]+$/i, '');
  return ['class-images', ...[name ?? '', prompt].map(inWords)].join('/');
}

/** A text as the name of a file: its letters and numbers, at most 60, with dashes between them. */
const inWords = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .slice(0, 60)
    .replace(/^-|-$/g, '') || 'unnamed';
