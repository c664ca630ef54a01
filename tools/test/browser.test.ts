/** @file The core runs in a browser tab: entries outside `node` need none of Node's modules, nor does what they depend on. */
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import { build } from 'esbuild';
import { describe, expect, test } from 'vitest';

const packages = fileURLToPath(new URL('../../packages/', import.meta.url));
/** What a page has beside the language, as far as the core uses it. */
const page = { TextDecoder, TextEncoder, atob, btoa, crypto, performance, URL };

/** Bundles an entry for a browser, in memory. Throws where something in it cannot be had there. */
const bundled = (entry: string) =>
  build({
    stdin: { contents: `export * from '${entry}';`, resolveDir: packages },
    bundle: true,
    format: 'iife',
    globalName: 'core',
    platform: 'browser',
    conditions: ['@sdft/source'],
    write: false,
    logLevel: 'silent',
    metafile: true,
  });

describe('for a browser,', () => {
  test.for([
    ['tensor', 'trace'],
    ['optim', 'adamw'],
    ['models', 'unet'],
    ['data', 'images'],
  ] as const)('@sdft/%s is bundled whole, and loads', async ([name, use]) => {
    const { metafile, outputFiles } = await bundled(`@sdft/${name}`);
    const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
    expect(imports.map(({ path }) => path)).toEqual([]);
    expect(Object.keys(metafile.inputs).filter((path) => path.includes('/src/node/'))).toEqual([]);
    const kind: unknown = runInContext(
      `${outputFiles[0]!.text}; typeof core.${use}`,
      createContext({ ...page }),
    );
    expect(kind).toBe('function');
  });

  test.for(['tensor', 'models', 'data'])('@sdft/%s/node is refused', async (name) => {
    await expect(bundled(`@sdft/${name}/node`)).rejects.toThrow(
      /Could not resolve "(node:)?(fs|path)/,
    );
  });
});
