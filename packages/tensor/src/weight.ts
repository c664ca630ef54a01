/** Element types in which weights are stored. The engine computes in f32; the others are widened on the way in. */
export type StorageType =
  | 'f32'
  | 'f16'
  | 'bf16'
  | 'f64'
  | 'i64'
  | 'i32'
  | 'i16'
  | 'i8'
  | 'u8'
  | 'bool';

/**
 * A named array of numbers that somebody else holds: most often a tensor inside a checkpoint file, not read yet.
 * Bytes are row-major and little-endian.
 */
export interface Weight {
  readonly dtype: StorageType;
  readonly shape: readonly number[];
  /** Where the bytes lie as they are, contiguous, if they lie in a file; backends map them instead of reading them. */
  readonly file?: { readonly path: string; readonly offset: number; readonly length: number };
  /** The bytes: shape's product times the element size. A new array at each call unless it is in memory already. Throws UserError where the file cannot be read. */
  read(): Uint8Array;
}
