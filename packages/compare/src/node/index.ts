export { readMetrics } from './readMetrics.ts';
