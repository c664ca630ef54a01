import { UserError } from './errors.ts';

/**
 * `imagenet_templates_small`: the 27 templates for an object that the Textual Inversion paper trains with (arXiv:2208.01618,
 * supplementary), in the order of diffusers' `examples/textual_inversion/textual_inversion.py`.
 */
export const OBJECT_TEMPLATES: readonly string[] = Object.freeze([
  'a photo of a {}',
  'a rendering of a {}',
  'a cropped photo of the {}',
  'the photo of a {}',
  'a photo of a clean {}',
  'a photo of a dirty {}',
  'a dark photo of the {}',
  'a photo of my {}',
  'a photo of the cool {}',
  'a close-up photo of a {}',
  'a bright photo of the {}',
  'a cropped photo of a {}',
  'a photo of the {}',
  'a good photo of the {}',
  'a photo of one {}',
  'a close-up photo of the {}',
  'a rendition of the {}',
  'a photo of the clean {}',
  'a rendition of a {}',
  'a photo of a nice {}',
  'a good photo of a {}',
  'a photo of the nice {}',
  'a photo of the small {}',
  'a photo of the weird {}',
  'a photo of the large {}',
  'a photo of a cool {}',
  'a photo of a small {}',
]);

/**
 * `imagenet_style_templates_small`: the 19 templates for a style, from the same places. Two of them (cropped, close-up) are there
 * twice, so they are drawn twice as often as the others; that is how the reference has it.
 */
export const STYLE_TEMPLATES: readonly string[] = Object.freeze([
  'a painting in the style of {}',
  'a rendering in the style of {}',
  'a cropped painting in the style of {}',
  'the painting in the style of {}',
  'a clean painting in the style of {}',
  'a dirty painting in the style of {}',
  'a dark painting in the style of {}',
  'a picture in the style of {}',
  'a cool painting in the style of {}',
  'a close-up painting in the style of {}',
  'a bright painting in the style of {}',
  'a cropped painting in the style of {}',
  'a good painting in the style of {}',
  'a close-up painting in the style of {}',
  'a rendition in the style of {}',
  'a nice painting in the style of {}',
  'a small painting in the style of {}',
  'a weird painting in the style of {}',
  'a large painting in the style of {}',
]);

/** The template that says nothing of its own. */
export const OWN_CAPTION = '{caption}';

/** What a template's places are filled with. */
export interface Words {
  /** What is trained, as prompts spell it: `<boy>`, or `<boy> <boy>_1` for two vectors. */
  readonly name?: string | undefined;
  /** The picture's own caption: its `.txt` file, or the words of its file name. */
  readonly filewords: string;
}

const NAME = /\{\}|\[name\]/g;
const FILEWORDS = /\{caption\}|\[filewords\]/g;

/**
 * Fills a template: `{}` and `[name]` with the name, `{caption}` and `[filewords]` with the picture's own caption. The caption
 * goes in first, so that a `[name]` inside a caption file is filled as well (A1111, `modules/textual_inversion/dataset.py`,
 * `create_text`); a `{}` inside a caption file stays as it is. Texts are taken literally, `$` signs too.
 * @throws UserError when the template has a place for the name and there is none.
 */
export function fill(template: string, words: Words): string {
  const caption = words.filewords.replace(/\[name\]/g, () => words.name ?? '[name]');
  return template
    .split(/(\{\}|\[name\]|\{caption\}|\[filewords\])/)
    .map((part) => {
      if (part === '{caption}' || part === '[filewords]') return caption;
      return part === '{}' || part === '[name]' ? nameFor(template, words) : part;
    })
    .join('');
}

function nameFor(template: string, words: Words): string {
  if (words.name !== undefined) return words.name;
  throw new UserError(
    `the template '${template}' has a place for the name of what is trained, and no name was given: ` +
      'pass name, or write the words into the template',
  );
}

/** Whether a template has a place for the name of what is trained. */
export function hasName(template: string): boolean {
  return template.search(NAME) >= 0;
}

/** Whether a template has a place for the picture's own caption. */
export function hasFilewords(template: string): boolean {
  return template.search(FILEWORDS) >= 0;
}

/** The templates that a setting names without reading anything, or the path of the file that holds them. */
export function templatesNamed(
  setting: string | readonly string[],
): { readonly templates: readonly string[] } | { readonly file: string } {
  if (typeof setting !== 'string') return { templates: setting };
  if (setting === 'object') return { templates: OBJECT_TEMPLATES };
  if (setting === 'style') return { templates: STYLE_TEMPLATES };
  const path = /\.txt$/i.test(setting) && !hasName(setting) && !hasFilewords(setting);
  return path ? { file: setting } : { templates: [setting] };
}

/**
 * The lines of a template file as A1111 keeps them in `textual_inversion_templates/`: one template a line, spaces around it cut.
 * Empty lines are left out (A1111 would draw them as empty captions). @throws UserError when no line is left.
 */
export function templateLines(text: string, path: string): string[] {
  const lines = text
    .split(/\r\n|\r|\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (lines.length > 0) return lines;
  throw new UserError(
    `${path} holds no template: write one a line, such as 'a photo of [name], [filewords]'`,
  );
}

/** What is wrong with a template setting, or undefined. */
export function templateProblem(value: unknown): string | undefined {
  const templates: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (templates.length === 0) return 'must hold one template or more';
  for (const template of templates) {
    if (typeof template !== 'string' || template.trim() === '') {
      return 'must be text such as "a drawing of {}", "object", "style", or a file that ends in .txt';
    }
    const unknown = template
      .match(/\{[^{}]*\}/g)
      ?.find((place) => !['{}', OWN_CAPTION].includes(place));
    if (unknown !== undefined) {
      return `has a place ${unknown} that nothing fills: {} is the name, ${OWN_CAPTION} the picture's own caption`;
    }
  }
  return undefined;
}
