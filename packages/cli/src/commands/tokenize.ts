import type { Command } from 'commander';
import { addBaseOptions, type BaseOptions, openModel } from '../options/base.ts';
import { complete, type CommonOptions, defineCommand } from '../program/defineCommand.ts';
import { Output } from '../terminal/output.ts';
import { wrapped } from '../terminal/wrapped.ts';

/** `sdft tokenize`: ids and pieces of texts, and what the text encoder's length cuts. */
export function tokenizeCommand(summary: string): Command {
  const command = defineCommand('tokenize', summary).argument('<text...>', 'one or more prompts');
  addBaseOptions(command).action(run);
  return complete(command, 'tokenize --base nano "a drawing of a boy" "two cats, oil painting"');
}

async function run(texts: readonly string[], options: CommonOptions & BaseOptions): Promise<void> {
  const output = new Output(options.json ?? false);
  const { textEncoder, tokenizerFolder } = await openModel(options, output);
  const { clipTokenizer, readTokenizer } = await import('@sdft/models/node');
  const tokenizer = await (tokenizerFolder === undefined
    ? clipTokenizer()
    : readTokenizer(tokenizerFolder));
  const length = textEncoder.maxPositionEmbeddings;
  for (const text of texts) {
    const { ids, pieces } = tokenizer.encode(text);
    const { truncated = null } = tokenizer.encodePadded(text, { length });
    output.record({ ids, pieces, truncated });
    output.print(
      [
        text,
        ...wrapped(
          ids.map((id, i) => `${pieces[i]} ${id}`),
          '  ',
        ),
        truncated === null
          ? `  ${ids.length} of ${length} tokens`
          : `  ${ids.length} tokens; the limit of ${length} cuts: ${truncated}`,
      ].join('\n'),
    );
  }
}
