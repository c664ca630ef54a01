/** @file The page: one HTML document that needs nothing else. */
import { lossPlots } from './curves.ts';
import { figuresTable, glance } from './figures.ts';
import { html, Html } from './html.ts';
import { counted, listed } from './quantities.ts';
import { recipes } from './recipes.ts';
import type { Report } from './report.ts';
import { script } from './script.ts';
import { contactSheet, isSmall, trainingPictures } from './sheet.ts';
import { style } from './style.ts';

/** A report as an HTML document. Whatever its texts hold, none of it is executed, and the page loads nothing. */
export async function page(report: Report): Promise<string> {
  const { title, columns, missing } = report;
  const plots = await lossPlots(report);
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${await policy()}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="sdft ${report.version}">
<title>${title}</title>
<style>${new Html(style)}</style>
</head>
<body class="${isSmall(report) ? 'small' : 'large'}">
<a class="skip" href="#pictures">To the pictures</a>
<header>
<h1>${title}</h1>
<p class="lead">${lead(report)}</p>
${glance(report)}
</header>
<main>
<section class="sheet-section"><h2 id="pictures">Pictures</h2>
<p class="note">${drawn(report)}</p>
<div class="beside">${trainingPictures(report)}${contactSheet(report)}</div></section>
<section><h2 id="figures">Figures</h2>
${figuresTable(report)}</section>
${plots === undefined ? '' : html`<section><h2 id="losses">Losses</h2>${plots}</section>`}
${missing.length === 0 ? '' : html`<section><h2 id="missing">What is missing</h2><ul>${missing.map((one) => html`<li>${one}</li>`)}</ul></section>`}
${
  columns.some(({ recipe }) => recipe !== undefined)
    ? html`<section class="recipes"><h2 id="recipes">Recipes</h2>
<p class="note">Save one as <code>recipe.yaml</code>, then <code>sdft train recipe.yaml</code> repeats the run.</p>
${recipes(report)}</section>`
    : ''
}
</main>
<footer>${made(report)}</footer>
${viewer}
<p id="said" class="unseen" role="status"></p>
<script>${new Html(script)}</script>
</body>
</html>
`;
  return document.toString();
}

/** What the page may do: show the pictures inside of it and run its own script. */
async function policy(): Promise<string> {
  const only = async (text: string): Promise<string> => {
    const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
    return `'sha256-${btoa(String.fromCharCode(...new Uint8Array(hash)))}'`;
  };
  return `default-src 'none'; img-src data:; style-src ${await only(style)}; script-src ${await only(script)}; base-uri 'none'; form-action 'none'`;
}

function lead({ columns, base, training }: Report): Html {
  const methods = columns.slice(1).map(({ label }) => label);
  const learned =
    training.count === 0 ? '' : ` that learned from ${counted(training.count, 'picture')}`;
  const named = methods.length <= 8 ? `: ${listed(methods)}` : '';
  return html`${counted(methods.length, 'run')}${learned}, on the base <b>${base}</b>${named}.`;
}

function drawn({ drawing, seeds }: Report): string {
  const { steps, sampler, cfg, width, height } = drawing;
  return `Each row starts from the same noise, that of its seed. ${width} × ${height} pixels, ${counted(steps, 'step')} of ${sampler}, guidance ${cfg}, ${seeds.length === 1 ? 'seed' : 'seeds'} ${listed(seeds.map(String))}. Choose a picture to see it large, with the command that draws it.`;
}

const made = ({ credits, command, date, version }: Report): Html =>
  html`${
    credits.length === 0
      ? ''
      : html`<p>Pictures and base go back to the work of others: ${credits.map(({ work, author, licence, source }, i) => html`${i === 0 ? '' : '; '}${work} by ${author}, ${licence}, ${source}`)}.</p>
`
  }<p>Made with sdft ${version} on <time datetime="${date}">${date}</time> by</p>
<pre tabindex="0"><code>${command}</code></pre>`;

/** Holds one picture at a time, large; the script fills it in. */
const viewer = html`<dialog id="viewer" aria-labelledby="viewer-label">
<div class="viewer">
<div class="frame"><img data-part="picture" alt=""></div>
<div class="told">
<h2 id="viewer-label" data-part="label"></h2>
<p class="prompt" data-part="prompt"></p>
<p class="note">seed <span data-part="seed"></span></p>
<div class="code"><button type="button" class="copy" data-copies="viewer-command">Copy<span class="unseen"> the command</span></button><pre tabindex="0"><code id="viewer-command" data-part="command"></code></pre></div>
<p class="note" data-part="said" role="status"></p>
<div class="moves"><button type="button" data-move="0,-1" aria-label="the same by the column to the left">←</button><button type="button" data-move="0,1" aria-label="the same by the column to the right">→</button><button type="button" data-move="-1,0" aria-label="the picture above">↑</button><button type="button" data-move="1,0" aria-label="the picture below">↓</button><button type="button" class="close">Close</button></div>
</div></div></dialog>`;
