// Which Node runs sdft. This file and those that import it parse on Node 14 and newer, so that an old Node can say what is wrong.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** The oldest major version of Node that sdft runs under. */
export const REQUIRED = 24;

/**
 * Says whether a version is too old for sdft.
 * @param {string} version such as `20.11.1`
 */
export const tooOld = (version) => Number.parseInt(version, 10) < REQUIRED;

/**
 * The Node that `npm ci` put into a checkout, or undefined where its platform has none (macOS).
 * @param {string} root the checkout's folder
 * @param {string} platform as `process.platform`
 * @param {string} arch as `process.arch`
 * @returns {string | undefined} path of the executable
 */
export function checkoutNode(root, platform = process.platform, arch = process.arch) {
  const windows = platform === 'win32';
  const name = 'node-' + (windows ? 'win' : platform) + '-' + arch;
  const path = join(root, 'node_modules', name, 'bin', windows ? 'node.exe' : 'node');
  return existsSync(path) ? path : undefined;
}

/**
 * What to tell someone whose Node is too old.
 * @param {string} what the program that cannot run
 * @param {string} version the version that was found
 */
export const advice = (what, version) =>
  what +
  ' needs Node ' +
  REQUIRED +
  ' or newer; this is Node ' +
  version +
  ' (' +
  process.execPath +
  ').\nGet it from https://nodejs.org/en/download or from a version manager: `nvm install ' +
  REQUIRED +
  '`, `fnm install ' +
  REQUIRED +
  '`.';
