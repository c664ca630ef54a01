/** @file `lora_adapter_metadata`: PEFT's configuration in the metadata of a file of diffusers, which tells alpha. */
import { UserError } from '@sdft/tensor';

const key = 'lora_adapter_metadata';

/** Settings of an adapter, by the root of the layers that they are for: `unet`, `text_encoder`. */
export type AdapterConfigs = Readonly<Record<string, unknown>>;

/** What the metadata say; nothing where they have no such entry. Throws UserError where it is no JSON. */
export function adapterMetadata(
  metadata: Readonly<Record<string, string>>,
  path: string,
): AdapterConfigs {
  const text = metadata[key];
  if (text === undefined) return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as AdapterConfigs;
  } catch {
    // Said below.
  }
  throw new UserError(`${path}: its metadata ${key} is no JSON object; is the file damaged?`);
}

/** alpha / rank of a layer, as PEFT finds it; undefined where nothing is said. */
export function scaleIn(
  configs: AdapterConfigs,
  path: string,
  rank: number | undefined,
): number | undefined {
  const [root = ''] = path.split('.', 1);
  // PEFT divides by it even where matrices are full.
  const divisor = rank ?? configs[`${root}.r`];
  if (typeof divisor !== 'number') return undefined;
  const inner = path.slice(root.length + 1);
  const patterns = configs[`${root}.alpha_pattern`];
  const own =
    typeof patterns === 'object' && patterns !== null
      ? Object.entries(patterns).find(([pattern]) => meant(pattern, inner))?.[1]
      : undefined;
  const alpha: unknown = own ?? configs[`${root}.lora_alpha`] ?? configs[`${root}.alpha`];
  if (typeof alpha !== 'number') return undefined;
  return alpha / (configs[`${root}.use_rslora`] === true ? Math.sqrt(divisor) : divisor);
}

/** PEFT's patterns are the end of a name, or a whole one after ^. Those that are other regular expressions are not run. */
function meant(pattern: string, name: string): boolean {
  const plain = pattern.replaceAll('\\.', '.');
  if (plain.startsWith('^')) return name === plain.slice(1).replace(/\$$/, '');
  return name === plain || name.endsWith(`.${plain}`);
}

/** The same for writing: one rank, one alpha, and exceptions by layer. `layers` are those of one root, without it. */
export function adapterConfig(
  layers: ReadonlyMap<string, { readonly rank: number; readonly alpha: number }>,
  { dora, rsLora }: { readonly dora: boolean; readonly rsLora: boolean },
): Record<string, unknown> {
  const rank = mostCommon([...layers.values()].map((layer) => layer.rank));
  const alpha = mostCommon([...layers.values()].map((layer) => layer.alpha));
  const others = (value: (layer: { rank: number; alpha: number }) => number, usual: number) =>
    Object.fromEntries(
      [...layers].flatMap(([path, layer]) =>
        value(layer) === usual ? [] : [[`^${path}`, value(layer)]],
      ),
    );
  return {
    peft_type: 'LORA',
    r: rank,
    lora_alpha: alpha,
    target_modules: [...layers.keys()],
    rank_pattern: others((layer) => layer.rank, rank),
    alpha_pattern: others((layer) => layer.alpha, alpha),
    use_dora: dora,
    use_rslora: rsLora,
    lora_dropout: 0,
    bias: 'none',
  };
}

function mostCommon(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
}

/** The entry of the metadata, from the configurations of each root. */
export function adapterMetadataEntry(
  configs: Readonly<Record<string, Record<string, unknown>>>,
): Record<string, string> {
  const flat = Object.entries(configs).flatMap(([root, config]) =>
    Object.entries(config).map(([name, value]) => [`${root}.${name}`, value] as const),
  );
  return { [key]: JSON.stringify(Object.fromEntries(flat)) };
}
