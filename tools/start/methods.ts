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

/** In the order in which they are trained, and shown. */
export const methods: readonly MethodRun[] = [
  {
    ...{ name: 'textual-inversion', title: 'Textual Inversion', extension: '.safetensors' },
    ...{ quick: { steps: '40' }, cost: 0.2, start: 5 },
  },
  {
    ...{ name: 'hypernetwork', title: 'hypernetwork', extension: '.pt' },
    ...{ quick: { steps: '40' }, cost: 0.2, start: 5 },
  },
  {
    ...{ name: 'lora', title: 'LoRA', extension: '.safetensors' },
    ...{ quick: { steps: '30' }, cost: 0.3, start: 5 },
  },
  {
    ...{ name: 'dreambooth', title: 'DreamBooth', extension: '' },
    drawn: { folder: 'class-images', key: 'data.classImages.images' },
    ...{ quick: { steps: '30', classCount: '8', classSteps: '10' }, cost: 0.35, start: 30 },
  },
  {
    ...{ name: 'full', title: 'full fine-tuning', extension: '' },
    ...{ quick: { steps: '30' }, cost: 0.35, start: 5 },
  },
];
