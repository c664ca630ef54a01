export type {
  ClipTextConfig,
  DownBlockType,
  ScheduleConfig,
  UNetConfig,
  UpBlockType,
  VaeConfig,
} from './config.ts';
export { stableDiffusionSchedule } from './config.ts';
export { layersOf, parametersOf } from './layersOf.ts';
export { type Apply, type Layer, type Patches, Scope } from './scope.ts';
export { unetLayers } from './unet/layers.ts';
export { unet, type UNetInputs } from './unet/unet.ts';
export {
  clipContext,
  type ClipContextOptions,
  clipText,
  type ClipTextOptions,
  type ClipTextOutput,
  encodePromptChunks,
} from './clip/clipText.ts';
export { clipTextLayers } from './clip/layers.ts';
export { vaeLayers } from './vae/layers.ts';
export { type Posterior, vaeDecode, vaeEncode } from './vae/vae.ts';
export { clipTokenizer, readTokenizer } from './node/tokenizerFiles.ts';
export {
  type ChunkOptions,
  createTokenizer,
  type Encoding,
  type PaddedEncoding,
  type PaddingOptions,
  type Tokenizer,
  vectorNames,
} from './tokenizer/tokenizer.ts';
export { type Vocabulary, vocabularyFromMerges } from './tokenizer/vocabulary.ts';
export { guide } from './samplers/guidance.ts';
export type {
  Denoise,
  Sampler,
  SamplerName,
  SamplerStep,
  SamplingOptions,
  SamplingPlan,
  SamplingRun,
  SigmaSpacing,
  TimestepSpacing,
} from './samplers/sampler.ts';
export { samplerNamed, samplers } from './samplers/samplers.ts';
export {
  type DiffusionCoefficients,
  diffusionCoefficients,
  type NoiseSchedule,
  type NoiseScheduleOptions,
  noiseSchedule,
  rescaleZeroTerminalSnr,
  snr,
} from './schedule/noiseSchedule.ts';
