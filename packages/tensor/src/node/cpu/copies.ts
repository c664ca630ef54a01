/** @file Which copies of weights, rearranged for speed, fit into what they may take. */

export interface Packable {
  readonly bytes: number;
  /** What a byte is worth, beside that of others. */
  readonly gain: number;
}

/** Those worth most by the byte, as many as fit into `budget` bytes. */
export function choosePacked(
  candidates: ReadonlyMap<string, Packable>,
  budget: number,
): ReadonlySet<string> {
  const chosen = new Set<string>();
  let left = budget;
  for (const [name, { bytes }] of [...candidates].sort(
    ([, a], [, b]) => b.gain - a.gain || a.bytes - b.bytes,
  )) {
    if (bytes > left) continue;
    left -= bytes;
    chosen.add(name);
  }
  return chosen;
}
