import type { Checkpoint, OpenOptions } from '@sdft/models/node';
import { type Command, Option } from 'commander';
import { requireOption } from '../program/defineCommand.ts';
import type { Output } from '../terminal/output.ts';

/** Flags of every command that reads a model. */
export interface ReadingOptions {
  readonly config?: string;
  readonly predictionType?: 'epsilon' | 'v';
  readonly vae?: string;
  readonly emaWeights?: boolean;
}

/** With the model itself. */
export interface BaseOptions extends ReadingOptions {
  readonly base: string;
}

/** Declares `--base`, and how it is read. */
export function addBaseOptions(command: Command): Command {
  requireOption(
    command,
    '--base <base>',
    'base model: a folder in diffusers layout, an ldm .safetensors or .ckpt, or nano (a small one that comes along)',
  );
  return addReadingOptions(command);
}

/** Declares how a model is read. */
export function addReadingOptions(command: Command): Command {
  return command
    .option(
      '--config <path>',
      'how a single-file base is built: a diffusers folder, .yaml or .json',
    )
    .addOption(
      new Option(
        '--prediction-type <type>',
        'what the base predicts, where nothing says so',
      ).choices(['epsilon', 'v']),
    )
    .option('--vae <path>', 'another VAE: a folder or a file')
    .option('--ema-weights', 'use the running averages of the U-Net that the base also holds');
}

/** The same, as `openCheckpoint` takes it. */
export function readingOf(options: ReadingOptions): OpenOptions {
  const { config, predictionType, vae, emaWeights } = options;
  return {
    ...(config !== undefined && { config }),
    ...(predictionType !== undefined && {
      predictionType: predictionType === 'v' ? 'v_prediction' : 'epsilon',
    }),
    ...(vae !== undefined && { vae }),
    ...(emaWeights !== undefined && { emaWeights }),
  };
}

/**
 * Opens the base model and says what was found out about it. Not through `@sdft/pipeline`, which would take a sixth of a second to load.
 * @throws UserError
 */
export async function openModel(options: BaseOptions, output: Output): Promise<Checkpoint> {
  const { openCheckpoint } = await import('@sdft/models/node');
  const checkpoint = await openCheckpoint(await basePath(options.base), readingOf(options));
  output.note(baseText(options.base, checkpoint.weights, checkpoint.schedule, checkpoint.notes));
  return checkpoint;
}

/** Where the base model lies: `nano` comes with `@sdft/nano`. */
export async function basePath(base: string): Promise<string> {
  if (base !== 'nano') return base;
  const [{ model }, { fileURLToPath }] = await Promise.all([
    import('@sdft/nano'),
    import('node:url'),
  ]);
  return fileURLToPath(model);
}

/** What was found out about a base, for people. */
export function baseText(
  name: string,
  weights: Checkpoint['weights'],
  { predictionType }: Checkpoint['schedule'],
  notes: readonly string[],
): string {
  let parameters = 0;
  for (const { shape } of weights.values()) parameters += shape.reduce((a, b) => a * b, 1);
  const predicts = predictionType === 'epsilon' ? 'noise (epsilon)' : 'v';
  return [
    `base: ${name}, ${(parameters / 1e6).toFixed(1)} M parameters, predicts ${predicts}`,
    ...notes.map((note) => `  ${note}`),
  ].join('\n');
}
