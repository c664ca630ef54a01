import type { Shape } from '@sdft/tensor';
import { clipTextLayers } from '../clip/layers.ts';
import type { ClipTextConfig, UNetConfig, VaeConfig } from '../config.ts';
import { parametersOf } from '../layersOf.ts';
import { unetLayers } from '../unet/layers.ts';
import { vaeLayers } from '../vae/layers.ts';

/** Which networks to list. */
export interface NetworkConfigs {
  readonly unet?: UNetConfig;
  readonly textEncoder?: ClipTextConfig;
  readonly vae?: VaeConfig;
}

/**
 * Every tensor that networks of these configurations read, with its shape, in the order in which they read it: diffusers' names below
 * `unet.`, `text_encoder.` and `vae.`. Convolutions are [O,I,kH,kW], linear layers [O,I].
 */
export function expectedTensors({ unet, textEncoder, vae }: NetworkConfigs): Map<string, Shape> {
  return new Map([
    ...(unet ? parametersOf(unetLayers(unet)) : []),
    ...(textEncoder ? parametersOf(clipTextLayers(textEncoder)) : []),
    ...(vae ? parametersOf(vaeLayers(vae)) : []),
  ]);
}
