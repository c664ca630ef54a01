#!/usr/bin/env node
// Finds a Node that can run sdft, then hands over. In a checkout it runs the sources, in an installed package what was built.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { become } from './child.mjs';
import { advice, checkoutNode, tooOld } from './node-version.mjs';

const SOURCES = '--conditions=@sdft/source';
const self = fileURLToPath(import.meta.url);
const args = process.argv.slice(2);
const inCheckout = existsSync(new URL('../src/main.ts', import.meta.url));

if (tooOld(process.versions.node)) {
  const node = inCheckout
    ? checkoutNode(fileURLToPath(new URL('../../..', import.meta.url)))
    : undefined;
  if (node) {
    become(node, [SOURCES, self].concat(args));
  } else {
    console.error(advice('sdft', process.versions.node));
    process.exitCode = 2;
  }
} else if (inCheckout && !process.execArgv.includes(SOURCES)) {
  become(process.execPath, process.execArgv.concat(SOURCES, self, args));
} else {
  import(inCheckout ? '../src/index.ts' : '../dist/index.js')
    .then((cli) => cli.main(args))
    .then((code) => {
      process.exitCode = code;
    });
}
