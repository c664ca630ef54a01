export { type CompareOptions, compareRuns, type Progress } from './compareRuns.ts';
export { BASE, type ComparisonOptions } from './comparison.ts';
export { openClassifier } from './openClassifier.ts';
export { Parts } from './parts.ts';
export { type FinishedRun, type GivenRun, readRun } from './readRun.ts';
