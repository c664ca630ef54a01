export { type LossPoint, type Metrics, parseMetrics } from './runs/metrics.ts';
