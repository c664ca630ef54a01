/** @file The recipes, to be copied. */
import { html, type Html } from './html.ts';
import type { Report } from './report.ts';
import { swatch } from './series.ts';
import { saysMore } from './sheet.ts';

/** One after the other, closed. */
export const recipes = ({ columns }: Report): Html =>
  html`${columns.map(({ label, method, recipe }, i) =>
    recipe === undefined
      ? ''
      : html`<details class="recipe"><summary>${swatch(i)}<span class="label">${label}</span>${saysMore(method, label) && html` <span class="method">${method}</span>`}</summary>
<div class="code"><button type="button" class="copy" data-copies="recipe-${i}">Copy<span class="unseen"> the recipe of ${label}</span></button><pre id="recipe-${i}" tabindex="0"><code>${recipe}</code></pre></div></details>
`,
  )}`;
