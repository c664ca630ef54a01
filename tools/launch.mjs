// Runs a job of this checkout: installs what it needs, then goes on under the project's own Node.
// node tools/launch.mjs JOB [ARGUMENT...]   needs only Node >= 20.19 and npm; exit status: the job's, 2 where the machine lacks something
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../packages/cli/bin/child.mjs';
import { advice, checkoutNode, tooOld } from '../packages/cli/bin/node-version.mjs';

/** What runs for each job. */
const JOBS = new Map([
  ['start', 'tools/start.mjs'],
  ['test', 'tools/test.mjs'],
  ['test:long', 'tools/test-long.mjs'],
  ['bench', 'benchmarks/run.ts'],
  ['check', 'tools/check.mjs'],
]);

/** What is wrong with the machine or the command, told to the person at the terminal. */
class LaunchError extends Error {}

/**
 * Says whether `node_modules` is what `package-lock.json` asks for.
 *
 * After an installation the lock's hash is kept in node_modules. Where someone ran `npm ci` or `npm install` by hand,
 * npm's own copy of the lock is newer than the lock.
 * @param {string} root the checkout's folder
 */
export function installed(root) {
  const copy = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(copy)) return false;
  const stamp = stampFile(root);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lockHash(root)) return true;
  return statSync(copy).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs;
}

/** @param {string} root */
const stampFile = (root) => join(root, 'node_modules', '.sdft-lock');

/** @param {string} root */
const lockHash = (root) =>
  createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');

/**
 * Installs exactly what `package-lock.json` names.
 * @param {string} root the checkout's folder
 * @param {NodeJS.ProcessEnv} [env]
 */
export function install(root, env = process.env) {
  const npm = env.npm_execpath;
  const byNode = npm !== undefined && /npm-cli\.c?js$/.test(npm);
  const [program, ...args] = byNode ? [process.execPath, npm, 'ci'] : ['npm', 'ci'];
  const result = spawnSync(program, [...args, '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    // Warnings would only be about the machine's Node, under which nothing but this runs. npm's output goes to stderr: stdout is the job's.
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32' && !byNode,
    // Its install script would fetch CUDA libraries, which nothing here uses, from a host that many networks block.
    env: { ...env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
  });
  if (result.error) {
    throw new LaunchError(
      `npm could not be started (${result.error.message}). It comes with Node: https://nodejs.org/en/download`,
    );
  }
  if (result.signal)
    throw new LaunchError(`npm ci was ended by ${result.signal}; nothing was run.`);
  if (result.status !== 0) {
    throw new LaunchError(
      `npm ci failed with exit status ${result.status}; what npm says is above.\n` +
        'It needs about 1 GB of disk and the npm registry: `npm ping` tells whether it answers, `npm config get registry` which one is asked.',
    );
  }
  writeFileSync(stampFile(root), lockHash(root));
}

/**
 * The Node that jobs run under: the checkout's, or else the machine's where it is new enough.
 * @param {string} root the checkout's folder
 * @param {string} [version] of the machine's Node
 * @returns {string} path of the executable
 */
export function projectNode(root, version = process.versions.node) {
  const own = checkoutNode(root);
  if (own !== undefined) return own;
  if (tooOld(version)) throw new LaunchError(advice('This project', version));
  return process.execPath;
}

/**
 * The environment of a job: programs in `node_modules/.bin`, Node among them, come first.
 * @param {string} root the checkout's folder
 * @param {NodeJS.ProcessEnv} [env]
 */
export function jobEnvironment(root, env = process.env) {
  const name = Object.keys(env).find((key) => key.toUpperCase() === 'PATH') ?? 'PATH';
  const bin = join(root, 'node_modules', '.bin');
  return { ...env, [name]: env[name] ? bin + delimiter + env[name] : bin };
}

/** @param {readonly string[]} argv */
async function main([job, ...args]) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new LaunchError(
      `This needs Node 20.19 or newer to begin with; this is Node ${process.versions.node}. Get it from https://nodejs.org/en/download`,
    );
  }
  const file = JOBS.get(job ?? '');
  if (file === undefined) {
    throw new LaunchError(
      `Usage: node tools/launch.mjs ${[...JOBS.keys()].join('|')} [argument...]`,
    );
  }
  if (!installed(root)) {
    console.error('Installing the dependencies (npm ci) ...');
    install(root);
  }
  const node = projectNode(root);
  return run(node, ['--conditions=@sdft/source', join(root, file), ...args], {
    env: jobEnvironment(root),
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof LaunchError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
