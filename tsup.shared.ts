import type { Options } from 'tsup';

/** ES modules with rolled-up types; dependencies stay imports. */
export const shared = {
  entry: ['src/index.ts'],
  format: ['esm'],
  dts: true,
  sourcemap: true,
  clean: true,
  target: 'node24',
} satisfies Options;
