export { page } from './page/page.ts';
export type {
  Column,
  Credit,
  Embedded,
  Figures,
  Report,
  Shot,
  TrainingPicture,
} from './page/report.ts';
export { type LossPoint, type Metrics, parseMetrics } from './runs/metrics.ts';
export { parseSummary, type RunSummary } from './runs/summary.ts';
export { type Classifier, createClassifier, firstOf, type Judgement } from './scores/classifier.ts';
export {
  CLASSIFIER,
  type ClassifierConfig,
  classifierNetwork,
  classifierShapes,
  type Verdicts,
} from './scores/network.ts';
export { conceptIn, type PromptPictures, type Scores, scoresOf } from './scores/scores.ts';
