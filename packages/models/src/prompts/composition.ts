import { UserError } from '@sdft/tensor';

const and = /(?<![\p{L}\p{N}_])AND(?![\p{L}\p{N}_])/u;
const weighted = /^([^]*?)(?:\s*:\s*([-+]?(?:\d+\.?|\d*\.\d+)))?\s*$/;

/**
 * A prompt and the weight behind it (`a cat :1.5`; 1 where there is none), by which guidance is multiplied. White space at the end goes. Source: A1111
 * `modules/prompt_parser.py`, `get_multicond_prompt_list`.
 *
 * @throws UserError where a prompt is composed of several by `AND`
 */
export function weightedPrompt(prompt: string): { readonly text: string; readonly weight: number } {
  if (and.test(prompt))
    throw new UserError(
      `prompt ${JSON.stringify(prompt)}: AND composes several prompts in A1111, which is not possible here; write "and", or draw them one by one`,
    );
  const [, text = prompt, weight = '1'] = weighted.exec(prompt) ?? [];
  return { text, weight: Number(weight) };
}
