/** @file Training and validation loss of each run, over steps and over minutes. */
import type { LossPoint } from '../runs/metrics.ts';
import { html, type Html } from './html.ts';
import { type Curve, plot } from './plot.ts';
import { loss } from './quantities.ts';
import type { Column, Report } from './report.ts';
import { seriesOf } from './series.ts';

/** Training losses are means over this share of the run. */
const WINDOW = 1 / 20;
const MOST_POINTS = 200;
const MARKERS = 6;
const MOST_ROWS = 24;

/** The running mean over a window around each point, which ends where the run does. */
export function smoothed(points: readonly LossPoint[], share = WINDOW): LossPoint[] {
  const half = Math.floor((points.length * share) / 2);
  const sums = [0];
  for (const { loss: value } of points) sums.push(sums[sums.length - 1]! + value);
  return points.map((point, i) => {
    const [from, to] = [Math.max(0, i - half), Math.min(points.length, i + half + 1)];
    return { ...point, loss: (sums[to]! - sums[from]!) / (to - from) };
  });
}

/** So many of them at most, evenly spaced, the first and the last among them. */
export function thinned<T>(points: readonly T[], most: number): T[] {
  if (points.length <= most) return [...points];
  return Array.from(
    { length: most },
    (_, i) => points[Math.round((i * (points.length - 1)) / (most - 1))]!,
  );
}

type Axis = (point: LossPoint) => number | undefined;

const axes: readonly { readonly name: string; readonly at: Axis }[] = [
  { name: 'steps', at: ({ step }) => step },
  {
    name: 'minutes',
    at: ({ seconds }) => (seconds === undefined ? undefined : seconds / 60),
  },
];

const kinds = [
  {
    key: 'training',
    title: 'Training loss',
    note: `a running mean over a twentieth of each run`,
    points: (points: readonly LossPoint[]) => thinned(smoothed(points), MOST_POINTS),
  },
  {
    key: 'validation',
    title: 'Validation loss',
    note: 'on pictures that were kept back, at fixed noise and timesteps',
    points: (points: readonly LossPoint[]) => [...points],
  },
] as const;
type Kind = (typeof kinds)[number];

function curvesOf(columns: readonly Column[], { key, points }: Kind, at: Axis): Curve[] {
  return columns.flatMap(({ label, curves }, i) => {
    const own = points(curves?.[key] ?? []).flatMap((point) => {
      const x = at(point);
      return x === undefined ? [] : [{ x, y: point.loss }];
    });
    if (own.length === 0) return [];
    const every = Math.max(1, Math.round((own.length - 1) / MARKERS));
    const { colour, dash, marker } = seriesOf(i);
    const isMarked = (p: number): boolean =>
      own.length <= 2 * MARKERS || p % every === Math.floor(every / 2);
    return [
      {
        label,
        colour,
        dash,
        marker,
        points: own.map((point, p) => ({ ...point, marked: isMarked(p) })),
      },
    ];
  });
}

/** What somebody hears who does not see the plot. */
function spoken(title: string, curves: readonly Curve[], axis: string): string {
  const ends = curves.map(({ label, points }) => {
    const [first, last] = [points[0]!, points[points.length - 1]!];
    return `${label} from ${loss(first.y)} to ${loss(last.y)} after ${Number(last.x.toFixed(1))} ${axis}`;
  });
  return `${title} over ${axis}: ${ends.join('; ')}.`;
}

/** Validation losses as numbers. */
function numbers({ columns }: Report): Html {
  const own = columns.flatMap(({ label, curves }) =>
    curves && curves.validation.length > 0 ? [{ label, points: curves.validation }] : [],
  );
  if (own.length === 0) return html``;
  const steps = [...new Set(own.flatMap(({ points }) => points.map(({ step }) => step)))];
  const rows = thinned(
    steps.sort((a, b) => a - b),
    MOST_ROWS,
  );
  const at = (points: readonly LossPoint[], step: number): string => {
    const point = points.find((one) => one.step === step);
    return point ? loss(point.loss) : '';
  };
  return html`<details><summary>Validation losses as numbers</summary><div class="wide" role="region" aria-label="Validation losses" tabindex="0"><table class="figures numbers">
<thead><tr><th scope="col">Step</th>${own.map(({ label }) => html`<th scope="col"><span class="label">${label}</span></th>`)}</tr></thead>
<tbody>${rows.map((step) => html`<tr><th scope="row">${step}</th>${own.map(({ points }) => html`<td>${at(points, step)}</td>`)}</tr>`)}</tbody></table></div></details>`;
}

/** The plots; undefined where no run has a curve. */
export async function lossPlots(report: Report): Promise<Html | undefined> {
  const { columns } = report;
  const shown = axes.filter(({ at }) =>
    kinds.some((kind) => curvesOf(columns, kind, at).length > 0),
  );
  if (shown.length === 0) return undefined;
  const figures: Html[] = [];
  for (const kind of kinds) {
    const drawn: Html[] = [];
    for (const { name, at } of shown) {
      const curves = curvesOf(columns, kind, at);
      if (curves.length === 0) continue;
      drawn.push(
        html`<div class="plot over-${name}" role="img" aria-label="${spoken(kind.title, curves, name)}">${await plot(curves, name)}</div>`,
      );
    }
    if (drawn.length > 0)
      figures.push(
        html`<figure><figcaption><strong>${kind.title}</strong>, ${kind.note}</figcaption>${drawn}</figure>`,
      );
  }
  const choice =
    shown.length < 2
      ? ''
      : html`<fieldset class="switch"><legend>Over</legend>${shown.map(({ name }, i) => html`<label><input type="radio" name="axis" value="${name}"${i === 0 ? html` checked` : ''}><span>${name}</span></label>`)}</fieldset>`;
  return html`<div class="curves">${choice}<div class="plots">${figures}</div>${numbers(report)}</div>`;
}
