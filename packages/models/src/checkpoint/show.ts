/** A value out of a file as a message can hold it: short, and whatever it is. */
export function show(value: unknown): string {
  try {
    // undefined has no JSON.
    return (JSON.stringify(value) ?? String(value)).slice(0, 200);
  } catch {
    // JSON.stringify calls itself for each level, and a file can nest more of them than there is room for.
    return 'a value nested beyond all use';
  }
}
