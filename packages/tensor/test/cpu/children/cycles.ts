/** @file Compiles, runs and lets go of a network again and again, and reports the process's memory after each cycle: `CYCLES alone|beside`, beside another graph that stays or without one. */
import { readFileSync } from 'node:fs';
import { trace } from '../../../src/index.ts';
import { cpu } from '../../../src/node/index.ts';
import { drawn } from '../support/compute.ts';
import { unetLike } from '../support/unetLike.ts';

const [cycles, how] = process.argv.slice(2);
const residentBytes = (): number =>
  1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]);

const backend = cpu({ threads: 2 });
if (how === 'beside') await backend.compile(trace((t) => ({ outputs: { x: t.constant(1) } })));
const graph = unetLike(3);
// 16 MB of weights and as much in and out: a cycle that kept any of it would show.
const wide = trace((t) => ({
  outputs: {
    y: t
      .input('x', [2048, 1024])
      .matmul(t.weight('w', [1024, 4096]))
      .slice(1, 0, 2048),
  },
}));
const given = [graph, wide].map((g) => drawn(g));
const resident: number[] = [];
for (let cycle = 0; cycle < Number(cycles); cycle++) {
  for (const [i, g] of [graph, wide].entries()) {
    const { inputs, ...options } = given[i]!;
    const executable = await backend.compile(g, options);
    await executable.run(inputs);
    await executable.dispose();
  }
  gc!();
  resident.push(residentBytes());
}
console.log(JSON.stringify(resident));
process.exit(0);
