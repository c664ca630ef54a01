const whiteSpace = /\p{White_Space}+/gu;
const utf8 = new TextEncoder();

/** Number of UTF-8 bytes of a text after CLIP's normalization, white space left out: what its pieces hold together. */
export function pieceBytes(text: string): number {
  return utf8.encode(text.normalize('NFC').toLowerCase().replace(whiteSpace, '')).length;
}

/**
 * The end of a text whose beginning, of `keptBytes` (see `pieceBytes`), has been used up. A character that is only partly
 * used counts as left. White space at both ends is dropped.
 */
export function textAfter(text: string, keptBytes: number): string {
  // Bisection: the longest prefix that holds no more than what was kept.
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pieceBytes(text.slice(0, middle)) <= keptBytes) low = middle;
    else high = middle - 1;
  }
  const insidePair = low > 0 && low < text.length && (text.codePointAt(low - 1) ?? 0) > 0xffff;
  return text.slice(insidePair ? low - 1 : low).trim();
}
