/** Words beside each other on lines of at most `columns`, each line after `indent`. A longer word has a line of its own. */
export function wrapped(
  words: readonly string[],
  indent: string,
  columns = Math.min(process.stdout.columns ?? 100, 120),
): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of words) {
    const longer = line === '' ? indent + word : `${line}   ${word}`;
    if (line !== '' && longer.length > columns) {
      lines.push(line);
      line = indent + word;
    } else line = longer;
  }
  return line === '' ? lines : [...lines, line];
}
