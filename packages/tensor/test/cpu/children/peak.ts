/** @file The memory that one step of a network takes, `kept|recomputed` activations, of DEPTH layers of CHANNELS channels on SIZE x SIZE pixels. */
import { readFileSync } from 'node:fs';
import { apply, grad, groupNorm, silu, type Tensor, trace } from '../../../src/index.ts';
import { cpu } from '../../../src/node/index.ts';
import { drawn } from '../support/compute.ts';

const [how, ...numbers] = process.argv.slice(2);
const [depth, channels, size] = numbers.map(Number) as [number, number, number];
const statusBytes = (what: string): number =>
  1024 *
  Number(new RegExp(`${what}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))![1]);

const conv = { stride: [1, 1], padding: [1, 1, 1, 1] } as const;
const graph = trace((t) => {
  let h: Tensor = t.input('x', [1, channels, size, size]);
  const first = t.state('first', [channels]);
  h = h.mul(first.reshape([1, channels, 1, 1]));
  for (let i = 0; i < depth; i++) {
    const w = t.weight(`w.${i}`, [channels, channels, 3, 3]);
    const layer = (): Tensor => {
      const norm = groupNorm(h, t.weight('gamma', [channels]), t.weight('beta', [channels]), {
        groups: 8,
        eps: 1e-5,
      });
      return h.add(apply('conv2d', [silu(norm), w], conv).mul(1 / (3 * Math.sqrt(channels))));
    };
    h = how === 'recomputed' ? t.recompute(layer) : layer();
  }
  const loss = h.square().mean();
  const [slope] = grad(loss, [first]);
  return { outputs: { loss, slope: slope! } };
});
const { inputs, ...options } = drawn(graph);
const executable = await cpu().compile(graph, options);
gc!();
const before = statusBytes('RssAnon');
const { loss, slope } = await executable.run(inputs);
const weights = executable.memory.weights;
console.log(
  JSON.stringify({
    // The file-mapped weights count in the high-water mark too, each once.
    peak: statusBytes('VmHWM') - before - statusBytes('RssFile'),
    planned: executable.memory.activations,
    weights,
    loss: loss!.data[0],
    slope: [...slope!.data],
  }),
);
await executable.dispose();
