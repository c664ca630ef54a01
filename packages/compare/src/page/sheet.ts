/** @file The contact sheet: a row for each prompt and seed, a column for the base and each run; and the pictures that were learned from. */
import { type Content, html, type Html } from './html.ts';
import { counted } from './quantities.ts';
import type { Column, Embedded, Report, Shot } from './report.ts';
import { swatch } from './series.ts';

/** Whether a method's name says more than the label does. */
export const saysMore = (method: string | undefined, label: string): boolean => {
  const letters = (text: string): string => text.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
  return method !== undefined && letters(method) !== letters(label);
};

/** Pictures up to this side are shown pixel for pixel, at a whole multiple. */
const SMALL = 128;

export const isSmall = ({ drawing }: Pick<Report, 'drawing'>): boolean =>
  Math.max(drawing.width, drawing.height) <= SMALL;

/** A prompt with its gap: `{}` is shown as a word to be filled in. */
export const withGap = (prompt: string): readonly Content[] =>
  prompt
    .split('{}')
    .flatMap((part, i) => (i === 0 ? [part] : [html`<span class="gap">{}</span>`, part]));

const image = ({ url, width, height }: Embedded, alt: string): Html =>
  html`<img src="${url}" width="${width}" height="${height}" alt="${alt}" decoding="async">`;

/** A picture that opens large. Where it stands in the sheet is what the arrow keys go by. */
const opening = (label: string, at: string, { picture, prompt, seed, command }: Shot): Html =>
  html`<button type="button" class="shot" aria-haspopup="dialog" data-at="${at}" data-label="${label}" data-prompt="${prompt}" data-seed="${seed}" data-command="${command}">${image(picture, `${label}: ${prompt}, seed ${seed}`)}</button>`;

function head(column: Column, i: number): Html {
  const { label, method, word } = column;
  const about = [
    saysMore(method, label) && html`<span class="method">${method}</span>`,
    word === undefined
      ? undefined
      : html`<span class="word"><span class="gap">{}</span> ${word}</span>`,
  ];
  return html`<th scope="col">${swatch(i)}<span class="label">${label}</span>${about}</th>`;
}

/** The table of drawn pictures. */
export function contactSheet({ prompts, seeds, columns }: Report): Html {
  const rows = prompts.map(
    (prompt, p) =>
      html`<tbody>
<tr class="prompt"><th scope="rowgroup" colspan="${columns.length + 1}">${withGap(prompt)}</th></tr>
${seeds.map(
  (seed, s) =>
    html`<tr><th scope="row"><span class="unseen">seed </span>${seed}</th>${columns.map(
      ({ label, shots }, c) => {
        const shot = shots[p]?.[s];
        return html`<td>${shot ? opening(label, `${p * seeds.length + s},${c}`, shot) : html`<span class="none">–</span>`}</td>`;
      },
    )}</tr>
`,
)}</tbody>
`,
  );
  return html`<div class="wide" role="region" aria-labelledby="pictures" tabindex="0"><table class="sheet">
<thead><tr><th scope="col"><span class="unseen">Prompt and </span>seed</th>${columns.map(head)}</tr></thead>
${rows}</table></div>`;
}

/** Pictures that the runs learned from; nothing where there are none to show. */
export function trainingPictures({ training: { pictures, count } }: Report): Html {
  if (pictures.length === 0) return html``;
  const more = count - pictures.length;
  return html`<aside aria-labelledby="training"><h3 id="training">To be learned</h3>
<p class="note">${counted(count, 'picture')}${more > 0 ? `, ${pictures.length} of them here` : ''}</p>
<ul class="training">${pictures.map(({ picture, caption }) => html`<li>${image(picture, caption === '' ? 'training picture' : `training picture: ${caption}`)}</li>`)}</ul></aside>`;
}
