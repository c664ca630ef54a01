export type { ClipTextConfig, DownBlockType, ScheduleConfig, UNetConfig, UpBlockType, VaeConfig } from './config.ts';
export { stableDiffusionSchedule } from './config.ts';
export { layersOf, parametersOf } from './layersOf.ts';
export { type Apply, type Layer, type Patches, Scope } from './scope.ts';
export { unetLayers } from './unet/layers.ts';
export { unet, type UNetInputs } from './unet/unet.ts';
