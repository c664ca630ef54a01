import type { Backend } from '@sdft/tensor';
import { type Command, Option } from 'commander';

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

/** The backend called `name`. */
export async function backendNamed(name: BackendName): Promise<Backend> {
  switch (name) {
    case 'cpu':
      return (await import('@sdft/tensor/node')).cpu();
    case 'reference':
      return (await import('@sdft/tensor')).reference;
    case 'null':
      return (await import('@sdft/tensor')).nullBackend;
    case 'webgpu':
      return (await import('@sdft/tensor/node')).webgpu();
  }
}
