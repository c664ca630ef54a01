export { filewordsOf } from './captions.ts';
export type { Draws } from './draws.ts';
export { UserError } from './errors.ts';
export type { ImageFolder, ImageItem, ImageSet } from './image-set.ts';
export { loader } from './loader.ts';
export type {
  Batch,
  BatchOf,
  BatchPlan,
  ClassBatch,
  Loader,
  LoaderOptions,
  PlannedPicture,
} from './loader.ts';
export { stackPixels, toPixels, toRgb } from './pixels.ts';
export type { Picture, Pixels, Rgb } from './pixels.ts';
export { sizeOf } from './resolution.ts';
export type { Resolution, Size } from './resolution.ts';
export { images, imagesProblems, providedBy, withClassImages } from './spec.ts';
export type {
  ClassImages,
  DataSpec,
  ImagesOptions,
  Interpolation,
  TemplatePick,
  Provides,
} from './spec.ts';
export { fill, hasFilewords, hasName, OBJECT_TEMPLATES, STYLE_TEMPLATES } from './templates.ts';
export type { Words } from './templates.ts';
