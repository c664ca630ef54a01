import type { ClipTextConfig } from '../config.ts';
import { layersOf } from '../layersOf.ts';
import type { Layer } from '../scope.ts';
import { clipText } from './clipText.ts';

/** Every layer of the text encoder, from its input to its output. */
export const clipTextLayers = (config: ClipTextConfig): readonly Layer[] =>
  layersOf('text_encoder', (scope) => {
    clipText(scope, config, scope.tracer.input('input_ids', [1, 1], 'i32'));
  });
