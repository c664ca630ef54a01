/**
 * `make`, made once for the same texts again and again: vocabularies are large, and nearly every model has the same one.
 * @param make from texts to something immutable; what it throws is not remembered
 */
export function rememberLast<Texts extends readonly (string | undefined)[], T>(
  make: (texts: Texts, where: string) => T,
): (texts: Texts, where: string) => T {
  let last: { readonly texts: Texts; readonly made: T } | undefined;
  return (texts, where) => {
    if (last?.texts.some((text, i) => text !== texts[i]) ?? true)
      last = { texts, made: make(texts, where) };
    return last!.made;
  };
}
