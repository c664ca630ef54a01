/** @file A report with made-up pictures and numbers. */
import type { Column, Embedded, Report } from '../../src/page/report.ts';

/** 2 x 2 pixels of one colour. */
const dot: Embedded = {
  url: 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGNgYPjPwAAmABQEAgA2p3mQAAAAAElFTkSuQmCC',
  width: 64,
  height: 64,
};

const labels = ['base', 'a word', 'LoRA', 'hypernetwork'];
const methods = [undefined, 'textual-inversion', 'lora', 'hypernetwork'];

/**
 * A report of the base and three runs.
 *
 * @param text what every text in it becomes, by what it is
 */
export function madeUp(text: (own: string) => string = (own) => own): Report {
  const prompts = ['a {} drawing of a boy', 'a {} drawing of an astronaut'].map(text);
  const seeds = [1, 2];
  const columns = labels.map((label, c): Column => {
    const word = c === 1 ? '<boy>' : 'flat';
    return {
      label: text(label),
      method: methods[c] === undefined ? undefined : text(methods[c]),
      word: text(word),
      shots: prompts.map((prompt, p) =>
        seeds.map((seed) => ({
          picture: dot,
          prompt: prompt.replaceAll('{}', word),
          seed,
          command: text(`sdft generate ${c} ${p} ${seed}`),
        })),
      ),
      figures: {
        style: [0.1, 0.8, 0.9, 0.5][c],
        concept: 0.5 + c / 10,
        diversity: 0.3 - c / 20,
        heldOutLoss: 0.11 + c / 1000,
        validationLoss: c === 0 ? undefined : 0.1 - c / 100,
        parameters: c === 0 ? undefined : 10 ** (c + 2),
        bytes: c === 0 ? undefined : 10 ** (c + 3),
        seconds: c === 0 ? undefined : 60 * c,
        memory: c === 0 ? undefined : 5e8 + 1e8 * c,
      },
      curves: c === 0 ? undefined : curvesOf(c),
      recipe: c === 0 ? undefined : text(`base: nano\nmethod: ${methods[c]}\n`),
    };
  });
  return {
    title: text('Which method?'),
    base: text('nano'),
    ...{ prompts, seeds, columns },
    drawing: { steps: 25, sampler: 'ddim', cfg: 4, width: 64, height: 64 },
    training: { pictures: [{ picture: dot, caption: text('a boy') }], count: 25 },
    classifier: text('The classifier is right in 97 % of pictures that it never saw.'),
    missing: [text('Nothing is missing.')],
    credits: [
      {
        work: text('OpenMoji'),
        author: text('the OpenMoji project'),
        licence: text('CC-BY-SA-4.0'),
        source: text('https://openmoji.org'),
      },
    ],
    command: text('sdft compare runs/a runs/b --prompts prompts.txt --out report.html'),
    version: '0.1.0',
    date: '2026-11-26',
  };
}

const curvesOf = (c: number) => ({
  training: Array.from({ length: 60 }, (_, i) => ({
    step: i + 1,
    loss: 0.1 + 0.05 * Math.exp(-i / (10 * c)),
    seconds: i * c,
  })),
  validation: [0, 30, 60].map((step) => ({
    step,
    loss: 0.13 - step / 1000 / c,
    seconds: step * c,
  })),
  unreadable: 0,
});
