/** @file One plot of curves as SVG. */
import { parse, type Spec, View } from 'vega';
import { Html } from './html.ts';

export interface Curve {
  readonly label: string;
  readonly colour: string;
  readonly dash: readonly number[];
  /** SVG path in a square from -1 to 1. */
  readonly marker: string;
  readonly points: readonly { readonly x: number; readonly y: number; readonly marked: boolean }[];
}

const WIDTH = 420;
const HEIGHT = 230;
/** For the labels at the ends of the lines. */
const LABELS = 160;
const MOST_LETTERS = 22;
const LINE = 14;
/** Values that lie further apart get a logarithmic axis. */
const MOST_SPREAD = 30;

/**
 * Curves in one frame, each with its label at its end. Colours may be CSS variables.
 *
 * @param axis what goes from left to right
 */
export async function plot(curves: readonly Curve[], axis: string): Promise<Html> {
  const scale = scaleOf(curves.flatMap(({ points }) => points.map(({ y }) => y)));
  const svg = await new View(parse(specOf(curves, axis, scale)), { renderer: 'none' }).toSVG();
  return new Html(svg);
}

interface Scale {
  readonly type: 'linear' | 'log';
  readonly low: number;
  readonly high: number;
}

function scaleOf(values: readonly number[]): Scale {
  const [low, high] = [
    values.reduce((a, b) => Math.min(a, b)),
    values.reduce((a, b) => Math.max(a, b)),
  ];
  if (low > 0 && high / low > MOST_SPREAD) return { type: 'log', low: low / 1.2, high: high * 1.2 };
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return { type: 'linear', low: low - room, high: high + room };
}

/** Pixels from the top. */
const topOf = ({ type, low, high }: Scale, value: number): number =>
  HEIGHT *
  (1 -
    (type === 'log' ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low)));

/** Labels at the ends of lines, moved apart until each has a line of its own. */
function labelsOf(curves: readonly Curve[], scale: Scale) {
  const wanted = curves
    .flatMap(({ label, points }) => {
      const last = points[points.length - 1];
      return last ? [{ label: short(label), end: last.x, y: topOf(scale, last.y), top: 0 }] : [];
    })
    .sort((a, b) => a.y - b.y);
  let least = LINE / 2;
  for (const one of wanted) {
    one.top = Math.max(one.y, least);
    least = one.top + LINE;
  }
  let most = Math.max(HEIGHT, LINE * wanted.length) - LINE / 2;
  for (const one of wanted.toReversed()) {
    one.top = Math.min(one.top, most);
    most = one.top - LINE;
  }
  return wanted;
}

function specOf(curves: readonly Curve[], axis: string, scale: Scale): Spec {
  const quiet = { domain: false, ticks: false, labelColor: 'var(--muted)', labelFontSize: 11 };
  return {
    width: WIDTH,
    height: HEIGHT,
    padding: { left: 46, top: 8, right: LABELS, bottom: 40 },
    autosize: 'none',
    data: [
      ...curves.map(({ points }, i) => ({
        name: `curve-${i}`,
        values: points.map((point) => ({ ...point })),
      })),
      { name: 'labels', values: labelsOf(curves, scale) },
    ],
    scales: [
      { name: 'x', type: 'linear', range: 'width', domain: [0, furthest(curves)] },
      {
        name: 'y',
        type: scale.type,
        range: 'height',
        domain: [scale.low, scale.high],
        zero: false,
        nice: false,
      },
    ],
    axes: [
      {
        ...quiet,
        scale: 'y',
        orient: 'left',
        grid: true,
        gridColor: 'var(--rule)',
        tickCount: 5,
        labelPadding: 8,
      },
      {
        ...quiet,
        scale: 'x',
        orient: 'bottom',
        tickCount: 5,
        labelPadding: 8,
        title: axis,
        titleColor: 'var(--muted)',
        titleFontSize: 11,
        titleFontWeight: 'normal',
        titlePadding: 6,
      },
    ],
    marks: [
      ...curves.flatMap(({ colour, dash, marker }, i) => [
        {
          type: 'line' as const,
          from: { data: `curve-${i}` },
          encode: {
            enter: {
              x: { scale: 'x', field: 'x' },
              y: { scale: 'y', field: 'y' },
              stroke: { value: colour },
              strokeWidth: { value: 1.75 },
              strokeDash: { value: [...dash] },
              strokeJoin: { value: 'round' as const },
            },
          },
        },
        {
          type: 'symbol' as const,
          from: { data: `curve-${i}` },
          encode: {
            enter: {
              x: { scale: 'x', field: 'x' },
              y: { scale: 'y', field: 'y' },
              size: [{ test: 'datum.marked', value: 48 }, { value: 0 }],
              shape: { value: marker },
              fill: { value: colour },
              stroke: { value: 'var(--paper)' },
              strokeWidth: { value: 1 },
            },
          },
        },
      ]),
      {
        type: 'rule',
        from: { data: 'labels' },
        encode: {
          enter: {
            x: { scale: 'x', field: 'end', offset: 6 },
            x2: { value: WIDTH + 12 },
            y: { field: 'y' },
            y2: { field: 'top' },
            stroke: { value: 'var(--faint)' },
          },
        },
      },
      {
        type: 'text',
        from: { data: 'labels' },
        encode: {
          enter: {
            x: { value: WIDTH + 15 },
            y: { field: 'top' },
            text: { field: 'label' },
            baseline: { value: 'middle' },
            fontSize: { value: 12 },
            fill: { value: 'var(--ink)' },
          },
        },
      },
    ],
  };
}

const furthest = (curves: readonly Curve[]): number =>
  Math.max(...curves.flatMap(({ points }) => points.map(({ x }) => x)), Number.MIN_VALUE);

const short = (label: string): string => {
  const letters = [...label];
  return letters.length <= MOST_LETTERS ? label : `${letters.slice(0, MOST_LETTERS - 1).join('')}…`;
};
