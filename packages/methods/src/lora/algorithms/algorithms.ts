import type { Algorithm } from './algorithm.ts';
import { loha } from './loha.ts';
import { lokr } from './lokr.ts';
import { lora } from './lora.ts';

/** The algorithms that add to a weight, by name. */
export const algorithms = { lora, loha, lokr } as const satisfies Record<string, Algorithm>;

export type AlgorithmName = keyof typeof algorithms;
