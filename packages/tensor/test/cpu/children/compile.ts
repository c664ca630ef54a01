/** @file Compiles a graph with a weight that has to be written to the disk, runs it and ends as it is told: `dispose`, `leave` (lets go of nothing), or `exit` (in the midst of compiling). */
import { trace, UserError } from '../../../src/index.ts';
import { cpu } from '../../../src/node/index.ts';
import { drawn } from '../support/compute.ts';

const [end, kilobytes = '4'] = process.argv.slice(2);
const rows = Number(kilobytes);
const graph = trace((t) => ({
  outputs: {
    sum: t
      .input('x', [rows, 256])
      .mul(t.weight('w', [rows, 256]))
      .sum(),
  },
}));
const given = drawn(graph);
const w = new Float32Array(given.weights.get('w')!.read().slice().buffer);
const want = Array.from(given.inputs.x!.data).reduce((sum, x, i) => sum + x * w[i]!, 0);
const notices: string[] = [];
try {
  const compiled = cpu({ threads: 1, onNotice: (message) => notices.push(message) }).compile(
    graph,
    given,
  );
  if (end === 'exit') process.exit(7);
  const executable = await compiled;
  const { sum } = await executable.run(given.inputs);
  console.log(JSON.stringify({ error: Math.abs(sum!.data[0]! - want), notices }));
  if (end === 'dispose') await executable.dispose();
} catch (error) {
  console.log(
    JSON.stringify({ user: error instanceof UserError, message: (error as Error).message }),
  );
}
