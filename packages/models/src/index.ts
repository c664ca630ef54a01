export type {
  ClipTextConfig,
  DownBlockType,
  ScheduleConfig,
  UNetConfig,
  UpBlockType,
  VaeConfig,
} from './config.ts';
export { stableDiffusionSchedule } from './config.ts';
export { conv2d, type Conv2dOptions } from './layers/conv2d.ts';
export { linear } from './layers/linear.ts';
export { groupNorm } from './layers/norms.ts';
export { resnetBlock, type ResnetOptions } from './layers/resnetBlock.ts';
export { layersOf, parametersOf } from './layersOf.ts';
export { type Apply, type Layer, type Patches, type ReadParameter, Scope } from './scope.ts';
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
export { parseAttention, type WeightedText } from './prompts/attention.ts';
export { weightedPrompt } from './prompts/composition.ts';
export {
  type Emphasis,
  emphases,
  emphasise,
  emphasised,
  type EncodedPrompt,
  type ScalingEmphasis,
  scalingOf,
} from './prompts/emphasis.ts';
export { type NetworkTag, promptNetworks } from './prompts/networks.ts';
export { parametersText, parseParameters, type PictureParameters } from './prompts/parameters.ts';
export { readPrompt } from './prompts/readPrompt.ts';
export { promptSchedule, type ScheduledText } from './prompts/schedule.ts';
export { vaeLayers } from './vae/layers.ts';
export { type Posterior, vaeDecode, vaeEncode } from './vae/vae.ts';
export type { WeightedChunk } from './tokenizer/chunks.ts';
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
  SamplingStart,
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
export { architecture, architectureNames } from './checkpoint/architectures.ts';
export {
  type ByteSource,
  bytesSource,
  concatenateWeights,
  viewWeight,
  weightOf,
} from './checkpoint/byteSource.ts';
export { conform } from './checkpoint/conform.ts';
export { expectedTensors, type NetworkConfigs } from './checkpoint/expectedTensors.ts';
export type { ModelConfigs } from './checkpoint/family.ts';
export {
  castWeight,
  findNonFinite,
  type FloatType,
  fromFloat32,
  type NonFinite,
  readFloat32,
  toFloat32,
} from './checkpoint/floats.ts';
export type { Model } from './checkpoint/model.ts';
export {
  Float,
  Inert,
  isWeight,
  OrderedDict,
  type PythonValue,
  Tuple,
} from './checkpoint/pythonValue.ts';
export { layOut, readSafetensors, type TensorFile } from './checkpoint/safetensors.ts';
export { allTensors, stateDictOf } from './checkpoint/stateDict.ts';
export type { TorchFile } from './checkpoint/torchLegacy.ts';
