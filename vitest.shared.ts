import type { ViteUserConfig } from 'vitest/config';

/** Tests read the TypeScript sources of every package; nothing has to be built first. */
const conditions = ['@sdft/source', 'node', 'module', 'import', 'default'];

export const shared = {
  ssr: { resolve: { conditions } },
  test: {
    environment: 'node',
    pool: 'forks',
    include: ['test/**/*.test.ts'],
    execArgv: ['--conditions=@sdft/source'],
    testTimeout: 60_000,
    // tools/test.mjs sums these over the projects.
    reporters: ['default', 'json'],
    outputFile: { json: '.cache/tests.json' },
  },
} satisfies ViteUserConfig;
