/** Two names of one layer: in the single-file layout (ldm) and in diffusers'. */
export type KeyPair = readonly [ldm: string, diffusers: string];

/** Translates tensor names between two layouts, layer by layer: what follows the layer's name stays. */
export interface KeyMap {
  /** undefined for a name that belongs to no known layer. */
  fromLdm(key: string): string | undefined;
  toLdm(key: string): string | undefined;
}

/** Makes the translation of a list of layers. Where a listed layer contains another, the inner one counts. */
export function keyMap(pairs: readonly KeyPair[]): KeyMap {
  const there = new Map(pairs);
  const back = new Map(pairs.map(([ldm, diffusers]) => [diffusers, ldm]));
  return {
    fromLdm: (key) => translate(key, there),
    toLdm: (key) => translate(key, back),
  };
}

function translate(key: string, layers: ReadonlyMap<string, string>): string | undefined {
  for (let end = key.length; end > 0; end = key.lastIndexOf('.', end - 1)) {
    const layer = layers.get(key.slice(0, end));
    if (layer !== undefined) return layer + key.slice(end);
  }
  return undefined;
}
