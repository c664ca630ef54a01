/** @file The table of figures: a row for each column of the sheet. */
import { html, type Html } from './html.ts';
import { bytes, change, count, duration, loss, percent, score } from './quantities.ts';
import type { Column, Figures, Report } from './report.ts';
import { swatch } from './series.ts';

/** How one figure is named, explained, written and judged. */
export interface FigureKind {
  readonly key: keyof Figures;
  readonly name: string;
  /** What it is, for people who have never met it. */
  readonly about: string;
  /** What the best run of it is called; undefined where it is not told at a glance. */
  readonly glance: string | undefined;
  readonly better: 'more' | 'less';
  /** @param base the same of the base */
  text(value: number, base: number | undefined): string;
  /** What stands small beside it. */
  beside?(value: number): string;
  /** Whether the base has it, too. */
  readonly ofBase: boolean;
}

/** In the order in which they matter to somebody who chooses. */
export const figureKinds: readonly FigureKind[] = [
  {
    key: 'style',
    name: 'Style',
    about:
      'in how many pictures of the sheet the classifier sees the hand of the artist whose pictures were learned from',
    glance: 'Closest to the style',
    better: 'more',
    text: percent,
    ofBase: true,
  },
  {
    key: 'concept',
    name: 'Concept',
    about: 'in how many it sees what their prompts name',
    glance: 'Truest to the prompts',
    better: 'more',
    text: percent,
    ofBase: true,
  },
  {
    key: 'diversity',
    name: 'Diversity',
    about:
      'how far apart pictures of one prompt are for the classifier; a method that draws one picture again and again has 0',
    glance: undefined,
    better: 'more',
    text: score,
    ofBase: true,
  },
  {
    key: 'heldOutLoss',
    name: 'Forgetting',
    about:
      'how much the loss has risen on pictures like those that the base came from, which no run has seen',
    glance: 'Forgot least',
    better: 'less',
    text: (value, base) => (base === undefined ? '' : change(base, value)),
    beside: loss,
    ofBase: true,
  },
  {
    key: 'validationLoss',
    name: 'Validation loss',
    about:
      'the loss after the last step on pictures that were kept back, at the same noise and timesteps for every run',
    glance: 'Lowest validation loss',
    better: 'less',
    text: loss,
    ofBase: false,
  },
  {
    key: 'parameters',
    name: 'Trained numbers',
    about: 'how many numbers the method may change',
    glance: undefined,
    better: 'less',
    text: count,
    ofBase: false,
  },
  {
    key: 'bytes',
    name: 'File',
    about: 'the size of what was learned',
    glance: 'Smallest file',
    better: 'less',
    text: bytes,
    ofBase: false,
  },
  {
    key: 'seconds',
    name: 'Time',
    about: 'how long the training took, on the machine that it ran on',
    glance: 'Fastest',
    better: 'less',
    text: duration,
    ofBase: false,
  },
  {
    key: 'memory',
    name: 'Memory',
    about: 'the most that the training process held in memory',
    glance: undefined,
    better: 'less',
    text: bytes,
    ofBase: false,
  },
];

/** Kinds of which any column has a value. */
export const knownKinds = ({ columns }: Pick<Report, 'columns'>): readonly FigureKind[] =>
  figureKinds.filter(({ key }) => columns.some(({ figures }) => figures[key] !== undefined));

/** The figure as it is shown, to tell apart what a reader can tell apart. */
export function shown(
  { key, text }: FigureKind,
  { figures }: Column,
  base: Column | undefined,
): string {
  const value = figures[key];
  return value === undefined ? '' : text(value, base?.figures[key]);
}

/** Numbers of the runs that are best of a kind; none where they are all alike, or alone. */
export function bestOf(kind: FigureKind, [base, ...runs]: readonly Column[]): readonly number[] {
  const { key, better } = kind;
  const values = runs.map(({ figures }) => figures[key]).filter((value) => value !== undefined);
  if (values.length < 2) return [];
  const best = better === 'more' ? Math.max(...values) : Math.min(...values);
  const winner = runs.find(({ figures }) => figures[key] === best)!;
  const alike = runs.flatMap((run, i) =>
    shown(kind, run, base) === shown(kind, winner, base) ? [i + 1] : [],
  );
  return alike.length === runs.length ? [] : alike;
}

/** The table. */
export function figuresTable(report: Report): Html {
  const { columns } = report;
  const kinds = knownKinds(report);
  const best = new Map(kinds.map((kind) => [kind.key, bestOf(kind, columns)]));
  const cell = (kind: FigureKind, column: Column, i: number): Html => {
    const value = column.figures[kind.key];
    const before = i > 0 ? columns[0] : undefined;
    if (value === undefined)
      return html`<td class="none">${i === 0 && !kind.ofBase ? '' : '–'}</td>`;
    const isBest = best.get(kind.key)!.includes(i);
    return html`<td${isBest ? html` class="best"` : ''}>${isBest ? html`<span class="mark" aria-hidden="true">●</span><span class="unseen">best: </span>` : ''}${shown(kind, column, before)}${kind.beside && html` <small>${kind.beside(value)}</small>`}</td>`;
  };
  return html`<div class="wide" role="region" aria-labelledby="figures" tabindex="0"><table class="figures">
<thead><tr><th scope="col">Method</th>${kinds.map(({ name }) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>${columns.map(
    (column, i) =>
      html`<tr><th scope="row">${swatch(i)}<span class="label">${column.label}</span></th>${kinds.map((kind) => cell(kind, column, i))}</tr>
`,
  )}</tbody></table></div>
<p class="note"><span class="mark" aria-hidden="true">●</span> marks the best run of a column${kinds.some(({ key }) => key === 'heldOutLoss') ? '; small beside forgetting: the loss itself' : ''}.</p>
<details class="about"><summary>What the figures mean</summary><dl>${kinds.map(({ name, about }) => html`<div><dt>${name}</dt><dd>${about}.</dd></div>`)}</dl>${report.classifier === undefined ? '' : html`<p>${report.classifier}</p>`}</details>`;
}

/** The best of what can be told in a word. */
export function glance({ columns }: Report): Html {
  const told = figureKinds.flatMap((kind) => {
    const best = kind.glance === undefined ? [] : bestOf(kind, columns);
    return best.length === 0 || best.length > 2 ? [] : [{ kind, best }];
  });
  if (told.length === 0) return html``;
  return html`<dl class="glance">${told.map(
    ({ kind, best }) =>
      html`<div><dt>${kind.glance}</dt><dd>${best.map((i) => html`<span class="winner">${swatch(i)}<span class="label">${columns[i]!.label}</span></span>`)}<span class="value">${shown(kind, columns[best[0]!]!, columns[0])}</span></dd></div>`,
  )}</dl>`;
}
