export type {
  AboutFile,
  Adapter,
  AdapterFiles,
  AdapterState,
  Batch,
  Draws,
  HostDraws,
  InitContext,
  Initial,
  Layer,
  LoadedState,
  Method,
  Models,
  Moments,
  Needs,
  NewToken,
  Objective,
  Parameters,
  PlainRecord,
  Schedule,
  Use,
} from './contracts.ts';
export { constant, copyOf, normal, uniform, zeros } from './initial.ts';
export { type OtherSettings, type Pipeline, pipeline } from './builder/pipeline.ts';
export type { LongPrompts, PromptSyntax } from './encoding/prompts.ts';
export type { Generated } from './generation/generator.ts';
export { type GenerateOptions, pictureSize } from './generation/settings.ts';
export { assembleRun, type RunOptions } from './node/assembleRun.ts';
export { buildRun } from './node/buildRun.ts';
export {
  type ClassImagesOptions,
  type ClassImagesProgress,
  makeClassImages,
  type MissingClassImages,
  missingClassImages,
} from './node/classImages.ts';
export { type BaseOptions, openBase } from './node/openBase.ts';
export type { Learned, LearnedKind } from './node/learned.ts';
export { openGenerator, type PictureGenerator } from './node/openGenerator.ts';
export { baseHash } from './node/baseHash.ts';
export { commandLine, fromHere } from './node/commandLine.ts';
export { bytesOnDisk, type Summary } from './node/summary.ts';
export { validationLoss, type ValidationLossOptions } from './node/validationLoss.ts';
export type { Composition, ResolvedRecipe } from './recipe/composition.ts';
export { type RecipeFlag, recipeFlags } from './recipe/flags.ts';
export { fromYaml as recipeFromYaml, parseRecipe } from './recipe/parse.ts';
export {
  type Defaults,
  type NamedObjective,
  type Preset,
  type Registry,
  variantOf,
} from './recipe/preset.ts';
export type { CommonSettings, Flavour, Recipe, SettingMeta } from './recipe/schema.ts';
export { recipeJsonSchema, recipeYaml } from './recipe/write.ts';
export { metricLines, type Picture, type Plan, type Report, type Run } from './run/run.ts';
export type { DataCounts } from './batches/source.ts';
export type { StepReport } from './run/trainer.ts';
export { type Base, latentSizeProblem } from './training/base.ts';
export { layerGlob } from './training/layerGlob.ts';
export { type StepOutline, traceStep } from './training/traceStep.ts';
export { tracedSchedule } from './training/tracedSchedule.ts';
