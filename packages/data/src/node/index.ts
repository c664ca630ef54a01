export { contactSheet } from './contact-sheet.ts';
export type { SheetOptions } from './contact-sheet.ts';
export { decodePicture, type Decoded, type Fit, readSize, resizePicture } from './decode.ts';
export { openImages } from './open-images.ts';
export type { OpenOptions } from './open-images.ts';
export { picturesIn } from './scan.ts';
export { encodePng, writePng } from './write-png.ts';
export { prepareFolder } from './prepare.ts';
export type { PreparedPicture, PrepareFit, PrepareOptions, PrepareReport } from './prepare.ts';
