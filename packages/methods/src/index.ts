/** @file All that a researcher needs, from one package. */
export { images, withClassImages, type DataSpec } from '@sdft/data';
export { openImages, writePng } from '@sdft/data/node';
export {
  adafactor,
  adamw,
  adamw8bit,
  chain,
  clipByGlobalNorm,
  clipByValue,
  type GradientTransform,
  lion,
  type Optimizer,
  prodigy,
  sgd,
} from '@sdft/optim';
export {
  type Adapter,
  type AdapterFiles,
  type AdapterState,
  type Base,
  baseHash,
  type Batch,
  type ClassImagesOptions,
  type ClassImagesProgress,
  constant,
  copyOf,
  type Draws,
  type GenerateOptions,
  type InitContext,
  type Initial,
  type Layer,
  type Learned,
  type LearnedKind,
  metricLines,
  type Method,
  type MissingClassImages,
  type Models,
  type Needs,
  normal,
  type Objective,
  openBase,
  openGenerator,
  type Parameters,
  type Picture,
  type Pipeline,
  pipeline,
  type Plan,
  type Preset,
  type Recipe,
  type RecipeFlag,
  recipeFlags,
  recipeFromYaml,
  recipeYaml,
  type Report,
  type Run,
  type RunOptions,
  type Schedule,
  type Summary,
  type Use,
  uniform,
  validationLoss,
  type ValidationLossOptions,
  variantOf,
  zeros,
} from '@sdft/pipeline';
export {
  attention,
  type Backend,
  concat,
  customOp,
  type CustomOp,
  gelu,
  geglu,
  groupNorm,
  grad,
  type HostArray,
  hostArray,
  layerNorm,
  quickGelu,
  reference,
  silu,
  softmax,
  stack,
  Tensor,
  trace,
  UserError,
} from '@sdft/tensor';
export { type CpuOptions, cpu } from '@sdft/tensor/node';
export {
  autoencoder,
  type AutoencoderOptions,
  autoencoderPreset,
} from './autoencoder/autoencoder.ts';
export { fullFineTune, type FullFineTuneOptions, fullPreset } from './full/fullFineTune.ts';
export { dreamBooth, type DreamBoothOptions, dreamBoothPreset } from './dreambooth/dreamBooth.ts';
export {
  hypernetwork,
  type HypernetworkOptions,
  hypernetworkPreset,
} from './hypernetwork/hypernetwork.ts';
export { type Hypernetwork, readHypernetwork } from './hypernetwork/readHypernetwork.ts';
export type { WeightInit } from './hypernetwork/structure.ts';
export { modelEndings, writeWholeModel } from './files/wholeModel.ts';
export {
  convertNetwork,
  writeNetwork,
  type WriteNetworkOptions,
} from './lora/files/convertNetwork.ts';
export { readNetwork } from './lora/files/readNetwork.ts';
export { type Extracted, extractLora, type ExtractOptions } from './lora/tools/extract.ts';
export { type Merged, mergeLora } from './lora/tools/merge.ts';
export {
  type RankRule,
  rankRules,
  type ResizedLayer,
  resizeLora,
  type ResizeOptions,
} from './lora/tools/resize.ts';
export { isNetworkKey } from './lora/files/readNetwork.ts';
export { lora, loraPreset } from './lora/lora.ts';
export type { LoraOptions } from './lora/settings.ts';
export { pivotal, pivotalPreset } from './pivotal/pivotal.ts';
export type { PivotalOptions } from './pivotal/settings.ts';
export { type Png, readPng } from './png/readPng.ts';
export { denoise, type DenoiseOptions } from './objectives/denoise.ts';
export { reconstruct, type ReconstructOptions } from './objectives/reconstruct.ts';
export { superResolve, type SuperResolveOptions } from './objectives/superResolve.ts';
export { withPrior, type WithPriorOptions } from './objectives/withPrior.ts';
export {
  buildRun,
  learnedKinds,
  makeClassImages,
  missingClassImages,
  objectives,
  parseRecipe,
  presets,
  recipeJsonSchema,
} from './registry.ts';
export {
  superResolution,
  type SuperResolutionOptions,
  superResolutionPreset,
} from './super-resolution/superResolution.ts';
export { type Embedding, readEmbedding } from './textual-inversion/readEmbedding.ts';
export {
  textualInversion,
  type TextualInversionOptions,
  textualInversionPreset,
} from './textual-inversion/textualInversion.ts';
