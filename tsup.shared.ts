import { copyFile } from 'node:fs/promises';
import type { Options } from 'tsup';

/** Stands at the top of every built file; the oldest dependency of a package speaks first. */
const nodeCheck = `if (Number.parseInt(globalThis.process?.versions?.node ?? '24') < 24) {
  throw new Error('sdft needs Node 24 or newer; this is Node ' + process.versions.node + '. Get it from https://nodejs.org/en/download');
}`;

/** ES modules with rolled-up types; dependencies stay imports. */
export const shared = {
  entry: ['src/index.ts'],
  format: ['esm'],
  dts: true,
  sourcemap: true,
  clean: true,
  // Older syntax than Node 24's, so that an older Node gets as far as the check.
  target: 'node20',
  banner: { js: nodeCheck },
  onSuccess: () => copyFile('../../LICENSE', 'dist/LICENSE'),
} satisfies Options;
