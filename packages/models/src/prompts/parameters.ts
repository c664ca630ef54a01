/**
 * @file The text that A1111 keeps in a picture's `parameters`: the prompt's lines, `Negative prompt: ...`, and a line of settings. Source: A1111 `modules/processing.py`,
 * `create_infotext`, and `modules/infotext_utils.py`, `parse_generation_parameters`.
 */

/** What such a text says. */
export interface PictureParameters {
  readonly prompt: string;
  readonly negative: string;
  /** Settings by A1111's names (`Steps`, `CFG scale`), as they are written, quotes undone. */
  readonly settings: Readonly<Record<string, string>>;
}

/** The text of parameters. */
export function parametersText({ prompt, negative, settings }: PictureParameters): string {
  const line = Object.entries(settings)
    .map(([key, value]) => `${key}: ${/[,\n:]/.test(value) ? JSON.stringify(value) : value}`)
    .join(', ');
  return [prompt, ...(negative === '' ? [] : [`Negative prompt: ${negative}`]), line].join('\n');
}

const setting = (): RegExp =>
  /\s*([\p{L}\p{N}_][\p{L}\p{N}_ \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)/gu;

/** What a text says; a last line with fewer than three settings belongs to the prompt. */
export function parseParameters(text: string): PictureParameters {
  const lines = text.trim().split('\n');
  const found = [...lines.at(-1)!.matchAll(setting())];
  const settings: Record<string, string> = {};
  if (found.length >= 3) {
    lines.pop();
    for (const [, key, value] of found) settings[key!] = unquoted(value!);
  }
  const parts: { prompt: string[]; negative: string[] } = { prompt: [], negative: [] };
  let part: 'prompt' | 'negative' = 'prompt';
  for (const line of lines.map((each) => each.trim())) {
    const negative = /^Negative prompt:([^]*)$/.exec(line);
    if (negative) part = 'negative';
    const said = negative ? negative[1]!.trim() : line;
    // Empty lines before the first text go, as there.
    if (said !== '' || parts[part].length > 0) parts[part].push(said);
  }
  return { prompt: parts.prompt.join('\n'), negative: parts.negative.join('\n'), settings };
}

function unquoted(value: string): string {
  if (!/^".*"$/s.test(value)) return value;
  try {
    const text: unknown = JSON.parse(value);
    return typeof text === 'string' ? text : value;
  } catch {
    return value;
  }
}
