export { adamw, type AdamWOptions } from './adamw.ts';
export { chain } from './chain.ts';
export { clipByGlobalNorm, clipByValue, globalNorm } from './clip.ts';
export { piecewise, piecewiseProblem } from './piecewise.ts';
export {
  learningRate,
  type LearningRateOptions,
  type Schedule,
  type ScheduledNumber,
  scheduledNumber,
  type ScheduleName,
  scheduleNames,
  type ScheduleOptions,
} from './schedule.ts';
export { sgd, type SgdOptions } from './sgd.ts';
export type {
  GradientTransform,
  Named,
  Optimizer,
  TransformRecipe,
  UpdateCall,
} from './transform.ts';
