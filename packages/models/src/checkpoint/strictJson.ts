/**
 * Finds a key that an object in `text` holds twice; `JSON.parse` would silently keep the last.
 *
 * @param text valid JSON
 */
export function duplicateKey(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case '{':
        open.push(new Set());
        break;
      case '[':
        open.push(undefined);
        break;
      case '}':
      case ']':
        open.pop();
        break;
      case '"': {
        const start = at++;
        while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
        let next = at + 1;
        while (next < text.length && ' \t\n\r'.includes(text[next]!)) next++;
        if (text[next] !== ':') break;
        const key = JSON.parse(text.slice(start, at + 1)) as string;
        const keys = open.at(-1);
        if (keys?.has(key)) return key;
        keys?.add(key);
        break;
      }
    }
  }
  return undefined;
}
