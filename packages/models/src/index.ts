export type { ClipTextConfig, DownBlockType, ScheduleConfig, UNetConfig, UpBlockType, VaeConfig } from './config.ts';
export { stableDiffusionSchedule } from './config.ts';
