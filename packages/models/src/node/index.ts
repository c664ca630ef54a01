export { clipTokenizer, readTokenizer } from './tokenizerFiles.ts';
export { type WriteOptions, writeFileWhole, writeFolderWhole } from './atomicWrite.ts';
export {
  type FileHashes,
  hashFile,
  type Inspection,
  inspectFile,
  type TensorLine,
} from './inspectFile.ts';
export { type Checkpoint, openCheckpoint, type OpenOptions } from './openCheckpoint.ts';
export { openSafetensors, writeSafetensors } from './safetensorsFile.ts';
export { openTensorFile } from './tensorFile.ts';
export { explain as explainFileError } from './fileSource.ts';
export { openTorch } from './torchFile.ts';
export { writeTorch } from './torchWriter.ts';
export {
  initCheckpoint,
  writeDiffusersFolder,
  type WriteCheckpointOptions,
  writeLdmFile,
} from './writeCheckpoint.ts';
