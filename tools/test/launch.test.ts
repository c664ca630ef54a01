import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { install, installed, jobEnvironment } from '../launch.mjs';
import { projects, selection } from '../test.mjs';

const launcher = fileURLToPath(new URL('../launch.mjs', import.meta.url));
const child = new URL('../../packages/cli/bin/child.mjs', import.meta.url).href;
const folder = mkdtempSync(join(tmpdir(), 'sdft-launch-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('what is installed', () => {
  const lock = join(folder, 'package-lock.json');
  const modules = join(folder, 'node_modules');
  const copy = join(modules, '.package-lock.json');
  const at = (path: string, seconds: number) => utimesSync(path, seconds, seconds);

  /** Stands in for npm: says what it was asked for, and ends with `status`. */
  const npm = (status: number) => {
    const path = join(folder, 'npm-cli.js');
    writeFileSync(
      path,
      `const fs = require('fs'); fs.mkdirSync('node_modules', { recursive: true });
       fs.writeFileSync('node_modules/asked.json', JSON.stringify([process.argv.slice(2), process.env.ONNXRUNTIME_NODE_INSTALL]));
       process.exit(${status});`,
    );
    return { ...process.env, npm_execpath: path };
  };

  beforeEach(() => {
    rmSync(modules, { recursive: true, force: true });
    writeFileSync(lock, '{"lockfileVersion":3}');
  });

  test('nothing yet', () => {
    expect(installed(folder)).toBe(false);
  });

  test('an installation that broke off leaves node_modules without a lock: not installed', () => {
    mkdirSync(modules);
    expect(installed(folder)).toBe(false);
  });

  test('by hand: npm writes its copy of the lock after the lock', () => {
    mkdirSync(modules);
    writeFileSync(copy, '{}');
    at(lock, 1000);
    at(copy, 2000);
    expect(installed(folder)).toBe(true);
    at(lock, 3000);
    expect(installed(folder)).toBe(false);
  });

  test('by the launcher: the same lock again is installed whatever its date, another one is not', () => {
    install(folder, npm(0));
    expect(JSON.parse(readFileSync(join(modules, 'asked.json'), 'utf8'))).toEqual([
      ['ci', '--no-audit', '--no-fund', '--loglevel=error'],
      'skip',
    ]);
    writeFileSync(copy, '{}');
    at(copy, 1000);
    at(lock, 5000);
    expect(installed(folder)).toBe(true);
    writeFileSync(lock, '{"lockfileVersion":3,"packages":{}}');
    expect(installed(folder)).toBe(false);
  });

  test('npm fails: says so, and the next run installs again', () => {
    expect(() => install(folder, npm(3))).toThrow(/npm ci failed with exit status 3[^]*npm ping/);
    expect(installed(folder)).toBe(false);
  });

  test('no npm: says where to get it', () => {
    const env = { ...process.env, PATH: folder, npm_execpath: undefined };
    expect(() => install(folder, env)).toThrow(/npm could not be started .* comes with Node/);
  });
});

describe('the environment of a job', () => {
  test('programs of the checkout come first', () => {
    expect(jobEnvironment('/checkout', { PATH: '/bin', HOME: '/home' })).toEqual({
      PATH: join('/checkout', 'node_modules', '.bin') + delimiter + '/bin',
      HOME: '/home',
    });
  });

  test("Windows' spelling of PATH is kept", () => {
    expect(Object.keys(jobEnvironment('/checkout', { Path: 'C:\\bin' }))).toEqual(['Path']);
  });
});

test('an unknown job: usage, exit status 2', () => {
  const { status, stderr } = spawnSync(process.execPath, [launcher, 'tset'], { encoding: 'utf8' });
  expect(status).toBe(2);
  expect(stderr).toMatch(/^Usage: .*start\|test\|/);
});

describe('arguments of npm test', () => {
  test('--project is taken out, in each spelling; the rest is for vitest', () => {
    expect(selection(['--project=tensor', 'graph', '-t', 'adds'])).toEqual({
      names: ['tensor'],
      rest: ['graph', '-t', 'adds'],
    });
    expect(selection(['--project', '@sdft/optim', '--projects=cli,nano']).names).toEqual([
      'optim',
      'cli',
      'nano',
    ]);
    expect(selection([])).toEqual({ names: [], rest: [] });
  });

  test('every package, the benchmarks and the tools have tests', () => {
    const packages = [
      'cli',
      'compare',
      'data',
      'methods',
      'models',
      'nano',
      'optim',
      'pipeline',
      'tensor',
    ];
    expect([...projects().keys()].sort()).toEqual(['benchmarks', ...packages, 'tools']);
  });

  test('an unknown project: names those that there are, exit status 2', () => {
    const { status, stderr } = spawnSync(
      process.execPath,
      [launcher, 'test', '--project=tensors'],
      { encoding: 'utf8' },
    );
    expect(status).toBe(2);
    expect(stderr).toMatch(/no project "tensors"; there are .*tensor/);
  });
});

describe('a program that runs in place of another', () => {
  /** A process that runs `script` in a child and takes over its exit status. */
  const parent = (script: string) => [
    '--input-type=module',
    '--eval',
    `import { run } from ${JSON.stringify(child)};
     process.exitCode = await run(process.execPath, ['--eval', ${JSON.stringify(script)}]);`,
  ];

  test('its exit status', () => {
    expect(spawnSync(process.execPath, parent('process.exit(130)')).status).toBe(130);
  });

  test('ended by a signal: 128 + its number', () => {
    expect(spawnSync(process.execPath, parent("process.kill(process.pid, 'SIGKILL')")).status).toBe(
      137,
    );
  });

  test('it is asked to stop, once, and takes its time to save', async () => {
    const saved = join(folder, 'saved');
    const script = `
      let times = 0;
      process.on('SIGINT', () => {
        times++;
        setTimeout(() => { require('fs').writeFileSync(${JSON.stringify(saved)}, String(times)); process.exit(130); }, 200);
      });
      setInterval(() => {}, 1000);
      console.log('ready');`;
    const program = spawn(process.execPath, parent(script), { stdio: ['ignore', 'pipe', 'pipe'] });
    await new Promise((resolve) => program.stdout.once('data', resolve));
    program.kill('SIGINT');
    const status = await new Promise((resolve) => program.once('exit', resolve));
    expect(status).toBe(130);
    expect(existsSync(saved) && readFileSync(saved, 'utf8')).toBe('1');
  });
});
