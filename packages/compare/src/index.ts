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
