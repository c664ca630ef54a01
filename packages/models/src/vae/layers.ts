import type { VaeConfig } from '../config.ts';
import { layersOf, once } from '../layersOf.ts';
import { vaeDecode, vaeEncode } from './vae.ts';

/** Every layer of the autoencoder: the encoder's, then the decoder's. */
export const vaeLayers = once((config: VaeConfig) =>
  layersOf('vae', (scope) => {
    const side = 2 ** (config.blockOutChannels.length - 1);
    vaeEncode(scope, config, scope.tracer.input('pixels', [1, config.inChannels, side, side]));
    vaeDecode(scope, config, scope.tracer.input('latents', [1, config.latentChannels, 1, 1]));
  }),
);
