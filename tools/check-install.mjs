// Installs the packed packages into an empty folder, as a user would, and runs the README's example there.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack } from './pack.mjs';
import { CommandFailed, everywhere, output, root } from './process.mjs';

const MINUTES = 10;

/**
 * The README's example: the one code block of language `ts example`.
 * @param {string} markdown
 */
export function example(markdown) {
  const blocks = [...markdown.matchAll(/^```ts example\n([^]*?)^```$/gm)].map(
    ([, code]) => code ?? '',
  );
  if (blocks.length !== 1) {
    throw new CommandFailed(
      `README.md has ${blocks.length} code blocks that begin with "\`\`\`ts example"; it needs one.`,
    );
  }
  return blocks[0] ?? '';
}

/** The environment without what an outer npm says about this checkout. */
function environment() {
  const entries = Object.entries(process.env).filter(
    ([name]) => !/^(npm_(package|lifecycle|config_local_prefix)|INIT_CWD|NODE_OPTIONS)/.test(name),
  );
  return { ...Object.fromEntries(entries), ONNXRUNTIME_NODE_INSTALL: 'skip' };
}

/** Installs, imports and runs; a fault is thrown. */
export function checkInstall() {
  const code = example(readFileSync(join(root, 'README.md'), 'utf8'));
  everywhere('build');
  const packed = pack();
  const folder = mkdtempSync(join(tmpdir(), 'sdft-install-'));
  /** @param {string} program @param {readonly string[]} args */
  const here = (program, args) =>
    output(program, args, { cwd: folder, env: environment(), timeout: MINUTES * 60_000 });
  try {
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    here('npm', ['install', '--no-audit', '--no-fund', ...packed.map(({ tarball }) => tarball)]);

    for (const { name } of packed) {
      here(process.execPath, ['--input-type=module', '--eval', `await import('${name}');`]);
      underOldNode(here, name);
    }

    const version = here('npx', ['--no-install', 'sdft', '--version']).trim();
    const expected = packed.find(({ name }) => name === '@sdft/cli')?.version;
    if (version !== expected) {
      throw new CommandFailed(
        `npx sdft --version printed ${JSON.stringify(version)}, not ${expected}.`,
      );
    }

    writeFileSync(join(folder, 'example.ts'), code);
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          strict: true,
          noEmit: true,
          target: 'es2024',
          module: 'nodenext',
          skipLibCheck: true,
          types: ['node'],
          typeRoots: [join(root, 'node_modules/@types')],
        },
        files: ['example.ts'],
      }),
    );
    here('tsc', ['-p', 'tsconfig.json']);
    here(process.execPath, ['example.ts']);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * A package says that a Node is too old for it before anything else fails.
 * @param {(program: string, args: string[]) => string} here
 * @param {string} name
 */
function underOldNode(here, name) {
  const pretence = new URL('test/old-node.mjs', import.meta.url).href;
  const script = `await import('${name}').then(
    () => { throw new Error('${name} loads under Node 20'); },
    (error) => { if (!error.message.includes('needs Node 24 or newer; this is Node 20.11.1')) throw error; });`;
  here(process.execPath, ['--import', pretence, '--input-type=module', '--eval', script]);
}
