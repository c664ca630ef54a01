/** @file What a pair was asked to do: what lies in a working folder counts only where that is what is asked now. */
import { type Method, ourRecipe, type Paths } from './methods.ts';

/** What all pairs of a measurement have in common, beside their methods' settings. */
export interface Common {
  /** Hash of everything that both sides read: base, pictures, captions. */
  readonly inputs: string;
  /** Of each side. */
  readonly threads: number;
}

/** Names in the place of paths: a working folder may be moved. */
const names: Paths = {
  ...{ base: 'base', plain: 'plain', captioned: 'captioned', named: 'named', class: 'class' },
  ...{ template: 'template', diffusers: 'diffusers', webui: 'webui', tools: 'tools' },
};

/** All that decides what a pair comes to, as one text: the inputs, the threads, and what both sides are told. */
export const askedOf = (method: Method, seed: number, { inputs, threads }: Common): string =>
  JSON.stringify({
    ...{ inputs, threads },
    theirs: method.theirs(names, seed, 'out').args,
    ours: ourRecipe(method, names, seed, 'out').recipe,
  });
