/** @file The one place where text becomes part of the page: everything that `html` takes in is escaped, unless it is Html itself. */

/** A piece of the page that is safe to put into it. */
export class Html {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/** What a template takes in; nothing is shown of undefined and false. */
export type Content = Html | string | number | undefined | false | readonly Content[];

/** A template whose contents are escaped: html`<p title="${title}">${text}</p>`. Attributes need their quotes. */
export const html = (parts: TemplateStringsArray, ...contents: readonly Content[]): Html =>
  new Html(parts.map((part, i) => (i === 0 ? part : spelled(contents[i - 1]!) + part)).join(''));

function spelled(content: Content): string {
  if (content === undefined || content === false) return '';
  if (content instanceof Html) return content.toString();
  if (typeof content === 'object') return content.map(spelled).join('');
  return escaped(String(content));
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text as HTML shows it, between tags and in quoted attributes. Control characters, which HTML does not allow, become U+FFFD. */
const escaped = (text: string): string =>
  text
    .replace(/(?![\t\n\r])\p{Cc}|\p{Surrogate}/gu, '\ufffd')
    .replace(/[&<>"']/g, (character) => entities[character]!);
