/** @file How a column is recognised wherever it occurs: by colour, dash and marker, so that one of them is enough. */
import { html, type Html } from './html.ts';

export interface Series {
  /** Class that gives it its colour in both schemes. */
  readonly name: string;
  /** The same as a CSS value. */
  readonly colour: string;
  readonly dash: readonly number[];
  /** SVG path in a square from -1 to 1. */
  readonly marker: string;
}

/** After Okabe and Ito, "Color Universal Design" (2008), darker or lighter until 4.5:1 against the page: light, dark. The first is the base's. */
export const colours: readonly (readonly [light: string, dark: string])[] = [
  ['#6b6f76', '#a3a8b0'],
  ['#0067a6', '#6cb8f0'],
  ['#b8460a', '#ff9a5a'],
  ['#007a5a', '#43cfa2'],
  ['#a03c7e', '#ef9ccb'],
  ['#7d6400', '#e2c541'],
  ['#4a4fb5', '#a9adff'],
];

const dashes: readonly (readonly number[])[] = [[], [7, 3], [2, 2.5], [9, 3, 2, 3], [4, 2]];

const markers: readonly string[] = [
  'M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z',
  'M-0.9,-0.9H0.9V0.9H-0.9Z',
  'M0,-1.1L1.05,0.8H-1.05Z',
  'M0,-1.2L1.2,0L0,1.2L-1.2,0Z',
  'M0,1.1L1.05,-0.8H-1.05Z',
  'M-0.35,-1H0.35V-0.35H1V0.35H0.35V1H-0.35V0.35H-1V-0.35H-0.35Z',
];

/** The look of a column; 0 is the base. No two of the base and thirty runs look alike. */
export function seriesOf(column: number): Series {
  const own = column === 0 ? 0 : 1 + ((column - 1) % (colours.length - 1));
  return {
    name: `s${own}`,
    colour: `var(--s${own})`,
    dash: column === 0 ? [1, 3] : dashes[(column - 1) % dashes.length]!,
    marker: markers[column % markers.length]!,
  };
}

/** A piece of its line. */
export function swatch(column: number): Html {
  const { colour, dash, marker } = seriesOf(column);
  return html`<svg class="swatch" viewBox="0 0 40 12" width="40" height="12" aria-hidden="true"><line x1="1" x2="39" y1="6" y2="6" stroke="${colour}" stroke-width="2" stroke-dasharray="${dash.join(' ')}"/><path transform="translate(20 6) scale(4)" d="${marker}" fill="${colour}"/></svg>`;
}
