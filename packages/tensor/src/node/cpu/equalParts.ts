/** @file Work that goes through several operators part by part. */

/** Each part is nodes of its own, and loading a model takes longer the more there are, more than in proportion. */
const MANY = 32;

/** Into how many equal parts `count` things are divided, so that one has `most` at most; where that would be many, into fewer, and where there are no such parts, into none. */
export function equalParts(count: number, most: number): number {
  const wanted = Math.max(1, Math.min(Math.ceil(count / most), MANY));
  for (let parts = wanted; parts < 2 * wanted; parts++) if (count % parts === 0) return parts;
  return 1;
}
