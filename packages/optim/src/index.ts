export { adafactor, type AdafactorOptions } from './adafactor.ts';
export { adamw8bit, type AdamW8bitOptions } from './adamw8bit.ts';
export { adamw, type AdamWOptions } from './adamw.ts';
export { chain } from './chain.ts';
export { clipByGlobalNorm, clipByValue, globalNorm } from './clip.ts';
export { type Ema, ema, type EmaOptions } from './ema.ts';
export { lion, type LionOptions } from './lion.ts';
export {
  type OptimizerKind,
  type OptimizerName,
  optimizerNamed,
  type OptimizerSetting,
  optimizers,
} from './optimizers.ts';
export { piecewise, piecewiseProblem } from './piecewise.ts';
export { prodigy, type ProdigyOptions } from './prodigy.ts';
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
export type { NumberSetting, Setting, Settings, SwitchSetting } from './settings.ts';
export { stateType } from './transform.ts';
export type {
  GradientTransform,
  Named,
  Optimizer,
  TransformRecipe,
  UpdateCall,
} from './transform.ts';
