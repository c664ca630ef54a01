import type { Backend } from '@sdft/tensor';
import { type Command, Option } from 'commander';
import { UsageError } from '../failures/usageError.ts';

export type BackendName = 'cpu' | 'webgpu' | 'reference' | 'null';

/** Declares `--backend` with those of the names that make sense for the command. */
export function addBackendOption(
  command: Command,
  names: readonly BackendName[],
  description: string,
): Command {
  return command.addOption(
    new Option('--backend <name>', description).choices([...names, 'webgpu']).default('cpu'),
  );
}

export type Precision = 'f32' | 'f16';

/** The backend called `name`. Throws UsageError where it has no such precision. */
export async function backendNamed(
  name: BackendName,
  precision: Precision = 'f32',
): Promise<Backend> {
  if (precision === 'f16' && name !== 'webgpu')
    throw new UsageError(
      `--precision f16: the ${name} backend computes in f32; --backend webgpu keeps frozen weights and activations in f16`,
    );
  switch (name) {
    case 'cpu':
      return (await import('@sdft/tensor/node')).cpu();
    case 'reference':
      return (await import('@sdft/tensor')).reference;
    case 'null':
      return (await import('@sdft/tensor')).nullBackend;
    case 'webgpu':
      return (await import('@sdft/tensor/node')).webgpu({ precision });
  }
}
