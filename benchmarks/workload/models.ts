/** @file The checkpoints that are measured: known architectures with random weights, written once. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { UserError } from '@sdft/tensor';
import { architecture, type ModelConfigs } from '@sdft/models';
import { initCheckpoint } from '@sdft/models/node';

/**
 * `34m`: a U-Net of 34.0 million parameters, which reads text states of 64 channels; its text encoder has CLIP-L's depth and vocabulary. `34m-clip`: the same
 * blocks behind CLIP-L itself, whose 768 channels make them 37.5 million. No step runs the VAE.
 */
function configsOf(name: ModelName): ModelConfigs {
  if (name === 'sd15' || name === 'x4-upscaler' || name === 'tiny') return architecture(name);
  const { unet, textEncoder, schedule } = architecture('sd15');
  const width = name === '34m' ? 64 : textEncoder.hiddenSize;
  return {
    unet: {
      ...unet,
      blockOutChannels: [64, 128, 256, 256],
      sampleSize: 16,
      crossAttentionDim: width,
    },
    textEncoder: {
      ...textEncoder,
      hiddenSize: width,
      intermediateSize: 4 * width,
      numAttentionHeads: width / 64,
      projectionDim: width,
    },
    vae: architecture('tiny').vae,
    schedule,
  };
}

export const modelNames = ['sd15', '34m', '34m-clip', 'x4-upscaler', 'tiny'] as const;
export type ModelName = (typeof modelNames)[number];

/** Throws UserError for a name that is none. */
export function modelNamed(name: string): ModelName {
  const known = modelNames.find((each) => each === name);
  if (!known)
    throw new UserError(`there is no model ${name} to measure; there are ${modelNames.join(', ')}`);
  return known;
}

export const cache = fileURLToPath(new URL('../.cache/', import.meta.url));

/** The folder of a model, written now if it is not there yet (sd15: 4.3 GB, x4-upscaler: 3.5 GB). */
export async function checkpointOf(name: ModelName, log: (text: string) => void): Promise<string> {
  const path = `${cache}${name}`;
  if (!existsSync(path)) {
    log(`writing random weights of ${name} into ${path}`);
    await initCheckpoint(configsOf(name), 0, path);
  }
  return path;
}
