import type { UNetConfig } from '../config.ts';
import { layersOf, once } from '../layersOf.ts';
import { unet } from './unet.ts';

/** Every layer of the U-Net, from its input to its output. */
export const unetLayers = once((config: UNetConfig) =>
  layersOf('unet', (scope) => {
    const { tracer } = scope;
    unet(scope, config, {
      sample: tracer.input('sample', [1, config.inChannels, 8, 8]),
      timestep: tracer.input('timestep', [1]),
      encoderHiddenStates: tracer.input('context', [1, 1, config.crossAttentionDim]),
      classLabels:
        config.numClassEmbeds === undefined ? undefined : tracer.input('labels', [1], 'i32'),
    });
  }),
);
