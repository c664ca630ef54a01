/** @file Emoji artwork as the npm packages of `package.json` hold it: icons by code point, with labels and tags. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** Words of captions by icon set: the five artists of the base, and the sixth, whom it never sees. */
export const artists = {
  flat: 'twemoji',
  soft: 'noto',
  fluent: 'fluent-emoji-flat',
  blob: 'noto-v1',
  shiny: 'emojione',
  outline: 'openmoji',
} as const;
export type Artist = keyof typeof artists;
export const artistNames = Object.keys(artists) as readonly Artist[];
/** The artist that is kept back from the base. */
export const unseen: Artist = 'outline';

/** What is drawn: an entry of emojibase. */
export interface Subject {
  /** The label as a file name: `police-officer`. */
  readonly name: string;
  /** `police officer` */
  readonly label: string;
  readonly tags: readonly string[];
  /** Of Unicode's order: `person-role`, `food-fruit`. */
  readonly subgroup: string;
  readonly hexcode: string;
}

interface Icon {
  readonly body: string;
  readonly width?: number;
  readonly height?: number;
  readonly left?: number;
  readonly top?: number;
}
interface IconSet {
  readonly icons: Readonly<Record<string, Icon>>;
  readonly aliases?: Readonly<Record<string, { readonly parent: string }>>;
  readonly width: number;
  readonly height: number;
}

const json = (path: string): unknown => JSON.parse(readFileSync(require.resolve(path), 'utf8'));

/** Every subject but components, symbols and flags, which have no group of their own here; skin tones are variants, and are left out. */
export function subjects(): Subject[] {
  const entries = json('emojibase-data/en/data.json') as readonly {
    readonly label: string;
    readonly hexcode: string;
    readonly tags?: readonly string[];
    readonly group?: number;
    readonly subgroup?: number;
  }[];
  const { subgroups } = json('emojibase-data/en/messages.json') as {
    readonly subgroups: readonly { readonly order: number; readonly key: string }[];
  };
  const keys = new Map(subgroups.map(({ order, key }) => [order, key]));
  const drawn = new Set([0, 1, 3, 4, 5, 6, 7]);
  return entries
    .filter(({ group }) => group !== undefined && drawn.has(group))
    .map(({ label, tags = [], subgroup, hexcode }) => ({
      name: slug(label),
      label: label.toLowerCase().replaceAll('’', "'"),
      tags,
      subgroup: keys.get(subgroup!)!,
      hexcode: hexcode.toLowerCase(),
    }));
}

/** A label as a file name. */
const slug = (label: string): string =>
  label
    .toLowerCase()
    .normalize('NFD')
    .replace(/[̀-ͯ’.:,]/g, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');

/** An artist's drawings, as SVG texts; undefined where a subject was not drawn. */
export function drawings(artist: Artist): (subject: Subject) => string | undefined {
  const folder = `@iconify-json/${artists[artist]}`;
  const set = json(`${folder}/icons.json`) as IconSet;
  const names = json(`${folder}/chars.json`) as Readonly<Record<string, string>>;
  return ({ name, hexcode }) => {
    // Sets without code points go by the label.
    const own = [names[hexcode.replaceAll('-fe0f', '')], names[hexcode], name];
    for (const candidate of own) {
      if (candidate === undefined) continue;
      const icon = set.icons[candidate] ?? set.icons[set.aliases?.[candidate]?.parent ?? ''];
      if (icon) return svgOf(icon, set);
    }
    return undefined;
  };
}

function svgOf({ body, left = 0, top = 0, ...own }: Icon, set: IconSet): string {
  const { width = set.width, height = set.height } = own;
  return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${width}" height="${height}" viewBox="${left} ${top} ${width} ${height}">${body}</svg>`;
}
