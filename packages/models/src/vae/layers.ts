import type { VaeConfig } from '../config.ts';
import { layersOf } from '../layersOf.ts';
import type { Layer } from '../scope.ts';
import { vaeDecode, vaeEncode } from './vae.ts';

/** Every layer of the autoencoder: the encoder's, then the decoder's. */
export const vaeLayers = (config: VaeConfig): readonly Layer[] =>
  layersOf('vae', (scope) => {
    const side = 2 ** (config.blockOutChannels.length - 1);
    vaeEncode(scope, config, scope.tracer.input('pixels', [1, config.inChannels, side, side]));
    vaeDecode(scope, config, scope.tracer.input('latents', [1, config.latentChannels, 1, 1]));
  });
