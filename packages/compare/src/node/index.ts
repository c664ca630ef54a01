export { type CompareOptions, compareRuns, type Progress } from './compareRuns.ts';
export { BASE, type ComparisonOptions, contentOf } from './comparison.ts';
export { openClassifier } from './openClassifier.ts';
export type { Drawer } from './openRun.ts';
export { Parts } from './parts.ts';
export { type FinishedRun, type GivenRun, readRun } from './readRun.ts';
export { scoreColumns } from './scores.ts';
export { drawShots, type Look, SAMPLER, wantedShots } from './shots.ts';
