/** @file The methods that are held against each other, and what they cost. */

export interface MethodRun {
  /** Of its recipe, its run and what it writes. */
  readonly name: string;
  readonly title: string;
  /** Ending of what it writes; none for folders. */
  readonly extension: '' | '.safetensors' | '.pt';
  /** What is changed of its recipe for the quick one. */
  readonly quick: Readonly<Record<string, string>>;
  /** Pictures that it draws before it begins: their folder, and the setting that names it. */
  readonly drawn?: { readonly folder: string; readonly key: string };
  /** Seconds of a step on two quiet cores, and of what comes before the first: opening, compiling, class pictures. */
  readonly cost: number;
  readonly start: number;
}

/** Of every method in the quick one: half a batch, and the kept pictures are looked at before and after alone. Rates are higher where steps are too few for the hand to come. */
const quick = { batch: '4', 'validation.every': '1000' } as const;

/** In the order in which they are trained, and shown. */
export const methods: readonly MethodRun[] = [
  {
    ...{ name: 'textual-inversion', title: 'Textual Inversion', extension: '.safetensors' },
    ...{ quick: { ...quick, steps: '50' }, cost: 0.2, start: 5 },
  },
  {
    ...{ name: 'hypernetwork', title: 'hypernetwork', extension: '.pt' },
    ...{ quick: { ...quick, steps: '50' }, cost: 0.2, start: 5 },
  },
  {
    ...{ name: 'lora', title: 'LoRA', extension: '.safetensors' },
    quick: { ...quick, steps: '50', 'optimizer.lr': '2e-3' },
    ...{ cost: 0.3, start: 5 },
  },
  {
    ...{ name: 'dreambooth', title: 'DreamBooth', extension: '' },
    drawn: { folder: 'class-images', key: 'data.classImages.images' },
    quick: {
      ...quick,
      ...{ batch: '2', steps: '50', 'optimizer.lr': '4e-4', classCount: '8', classSteps: '10' },
    },
    ...{ cost: 0.35, start: 20 },
  },
  {
    ...{ name: 'full', title: 'full fine-tuning', extension: '' },
    ...{ quick: { ...quick, steps: '50' }, cost: 0.35, start: 5 },
  },
];
