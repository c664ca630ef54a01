import type { ClipTextConfig } from '../config.ts';
import { layersOf, once } from '../layersOf.ts';
import { clipText } from './clipText.ts';

/** Every layer of the text encoder, from its input to its output. */
export const clipTextLayers = once((config: ClipTextConfig) =>
  layersOf('text_encoder', (scope) => {
    clipText(scope, config, scope.tracer.input('input_ids', [1, 1], 'i32'));
  }),
);
