import js from '@eslint/js';
import nx from '@nx/eslint-plugin';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** docs/architecture.md draws these arrows: a layer may import the layers listed beside it. */
const arrows = {
  tensor: ['tensor'],
  optim: ['tensor'],
  models: ['tensor'],
  data: [],
  nano: [],
  pipeline: ['tensor', 'optim', 'models', 'data', 'nano'],
  methods: ['tensor', 'optim', 'models', 'data', 'nano', 'pipeline'],
  compare: ['tensor', 'optim', 'models', 'data', 'nano', 'pipeline', 'methods'],
  cli: ['tensor', 'optim', 'models', 'data', 'nano', 'pipeline', 'methods', 'compare'],
};
const layer = (name) => `layer:${name}`;

export default defineConfig(
  globalIgnores(['**/dist', '**/.cache', '**/coverage', '**/node_modules', '.nx', '**/*.py']),
  js.configs.recommended,
  tseslint.configs.recommended,
  {
    files: ['**/*.mjs'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        setTimeout: 'readonly',
        Buffer: 'readonly',
        performance: 'readonly',
      },
    },
  },
  {
    files: ['packages/*/{src,test,test-long}/**/*.ts'],
    languageOptions: { parserOptions: { projectService: true } },
    plugins: { '@nx': nx },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Types that a test only has to compile.
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      '@nx/enforce-module-boundaries': [
        'error',
        {
          enforceBuildableLibDependency: false,
          allow: ['vitest\\.long\\.ts$'],
          depConstraints: Object.entries(arrows).map(([name, targets]) => ({
            sourceTag: layer(name),
            onlyDependOnLibsWithTags: targets.map(layer),
          })),
        },
      ],
    },
  },
  {
    // The core runs in a browser tab: only folders named `node` (and the CLI, which is a Node program) touch Node's modules.
    files: ['packages/*/src/**/*.ts'],
    ignores: ['packages/*/src/node/**', 'packages/cli/src/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: ['sharp', 'onnxruntime-node', 'webgpu'].map((name) => ({
            name,
            message: 'Node modules are for */src/node/ only.',
          })),
          patterns: [{ group: ['node:*'], message: 'Node modules are for */src/node/ only.' }],
        },
      ],
    },
  },
);
