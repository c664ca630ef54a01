import type { Prompts } from '../encoding/prompts.ts';

/** Captions whose ends are cut off are told this many at most. */
const MOST_CUT = 5;

/** A warning where captions are too long for the text encoder, with what is lost of them. */
export function cutCaptions(prompts: Prompts, captions: readonly string[]): string[] {
  const cut = captions.flatMap((caption) => {
    const rest = prompts.cutOff(caption);
    return rest === undefined ? [] : [`"${caption}" loses "${rest}"`];
  });
  if (cut.length === 0) return [];
  const told = cut.slice(0, MOST_CUT).map((line) => `\n  ${line}`);
  const more = cut.length > MOST_CUT ? `\n  and ${cut.length - MOST_CUT} more` : '';
  return [
    `${cut.length} of ${captions.length} captions have more than ${prompts.window - 2} tokens, and their ends are cut off:${told.join('')}${more}`,
  ];
}
