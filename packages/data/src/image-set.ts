import type { Pixels, Rgb } from './pixels.ts';
import type { DataSpec, Provides } from './spec.ts';

/** One picture of a folder. */
export interface ImageItem {
  /** The file's name inside its folder. */
  readonly file: string;
  /** The file's path, as errors name it. */
  readonly path: string;
  /** The picture's own caption: its `.txt` file, or the words of its file name. */
  readonly filewords: string;
  /** Pixels in the file, after its EXIF orientation is applied. */
  readonly width: number;
  readonly height: number;
}

/** The pictures of a folder, all brought to one size. */
export interface ImageFolder {
  readonly folder: string;
  /** In the order of the names' UTF-8 bytes (Unicode form C), which is the same on every machine. */
  readonly items: readonly ImageItem[];
  /** Size in pixels of every decoded picture. */
  readonly width: number;
  readonly height: number;
  /** What a person may want to know about the folder: files left out, captions without a picture, small pictures. */
  readonly warnings: readonly string[];
  /**
   * sRGB bytes of picture `index`, made ready. Decoded pictures are kept within a byte budget, so treat them as read-only.
   * @throws UserError when the file is gone, broken or truncated; the message names it.
   */
  decode(index: number): Promise<Rgb>;
  /** Pixels f32 [3,H,W] in -1..1 of picture `index`, mirrored left to right when `flip`. */
  pixels(index: number, flip?: boolean): Promise<Pixels>;
}

/** Opened training data. */
export interface ImageSet<P extends Provides = 'instance'> extends ImageFolder {
  /** The description it was opened from. */
  readonly spec: DataSpec<P>;
  /** The templates that captions are made from; one or more. */
  readonly templates: readonly string[];
  /** Pictures of the class, where the data has them. */
  readonly classes: 'class' extends P ? ImageFolder : undefined;
}
