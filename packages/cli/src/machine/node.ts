import type { Finding } from './check.ts';

const NEEDED = 24;

/** The Node that runs this. */
export function node(): Finding {
  const { node: running } = process.versions;
  const old = Number.parseInt(running, 10) < NEEDED;
  return {
    name: 'Node',
    state: old ? 'broken' : 'ok',
    found: `${running} on ${process.platform} ${process.arch}`,
    facts: { version: running, platform: process.platform, arch: process.arch },
    ...(old && { mend: `Node ${NEEDED} or newer is needed: https://nodejs.org/en/download` }),
  };
}
