import { defineConfig } from 'vitest/config';
import { driver, shared } from './vitest.shared.ts';

const SAMPLE = 0.01;

/** All of each long test, or with `--mode sample` a hundredth of it. */
export default defineConfig(({ mode }) => ({
  ...shared,
  test: {
    ...shared.test,
    include: ['packages/*/test-long/**/*.test.ts'],
    fileParallelism: false,
    env: driver,
    testTimeout: 6 * 3_600_000,
    outputFile: { json: '.cache/long-tests.json' },
    provide: { share: mode === 'sample' ? SAMPLE : 1 },
  },
}));
