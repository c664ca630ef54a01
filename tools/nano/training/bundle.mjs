/**
 * @file Puts all that training needs on another machine into a folder: `node tools/nano/training/bundle.mjs FOLDER`. What runs there is `node main.js inputs ...`, with Dawn's bindings beside it
 * and nothing else: no npm, no sharp, no ONNX Runtime.
 */
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('..', import.meta.url));
const modules = join(here, '../../node_modules');
const [folder] = process.argv.slice(2);

/** Pictures come decoded, so that what decodes them is never called. */
const absent = {
  name: 'absent',
  setup(builder) {
    builder.onResolve({ filter: /^(sharp|onnxruntime-node)$/ }, ({ path }) => ({
      path,
      namespace: 'absent',
    }));
    builder.onLoad({ filter: /.*/, namespace: 'absent' }, ({ path }) => ({
      contents: `export default () => { throw new Error('${path} is not in this bundle'); };`,
    }));
  },
};

await build({
  entryPoints: [join(here, 'training/main.ts')],
  outfile: join(folder, 'main.js'),
  bundle: true,
  ...{ platform: 'node', format: 'esm', target: 'node22', conditions: ['@sdft/source'] },
  external: ['webgpu'],
  plugins: [absent],
  // Some dependencies are CommonJS, and call for Node's modules as that does.
  banner: {
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
});
const dawn = join(folder, 'node_modules/webgpu');
mkdirSync(join(dawn, 'dist/linux-x64'), { recursive: true });
for (const file of ['package.json', 'index.js', 'dist/linux-x64/dawn.node'])
  cpSync(join(modules, 'webgpu', file), join(dawn, file));
const inputs = join(folder, 'inputs');
mkdirSync(inputs, { recursive: true });
for (const file of ['autoencoder.yaml', 'text-to-image.yaml'])
  cpSync(join(here, 'training', file), join(inputs, file));
cpSync(join(here, '.cache/pictures.pack'), join(inputs, 'pictures.pack'));
cpSync(join(here, 'tokenizer/files'), join(inputs, 'tokenizer'), { recursive: true });
