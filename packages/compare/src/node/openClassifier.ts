import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSafetensors } from '@sdft/models/node';
import { classifier as ownFolder } from '@sdft/nano';
import { type Backend, UserError } from '@sdft/tensor';
import { cpu } from '@sdft/tensor/node';
import { type Classifier, createClassifier } from '../scores/classifier.ts';
import type { ClassifierConfig } from '../scores/network.ts';

/**
 * The classifier of a folder: `model.safetensors` and `classifier.json`.
 *
 * @param folder by default that of `@sdft/nano`
 * @param backend by default the cpu
 * @throws UserError where a file is missing or does not fit the other
 */
export async function openClassifier(
  folder: string = fileURLToPath(ownFolder),
  backend: Backend = cpu(),
): Promise<Classifier> {
  const config = await readClassifierConfig(folder);
  const { tensors } = openSafetensors(join(folder, 'model.safetensors'));
  return createClassifier(config, tensors, backend);
}

/** What `classifier.json` of a folder says. Throws UserError where it is missing or no such file. */
export async function readClassifierConfig(
  folder: string = fileURLToPath(ownFolder),
): Promise<ClassifierConfig> {
  const path = join(folder, 'classifier.json');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new UserError(
      `${path}: cannot be read (${(error as Error).message}); a classifier's folder holds classifier.json and model.safetensors`,
    );
  }
  let config: ClassifierConfig;
  try {
    config = JSON.parse(text) as ClassifierConfig;
  } catch (error) {
    throw new UserError(`${path}: is no JSON (${(error as Error).message})`);
  }
  for (const key of ['side', 'channels', 'groups', 'artists', 'concepts'] as const)
    if (config[key] === undefined) throw new UserError(`${path}: has no ${key}`);
  return config;
}
