/** @file Our side, in a process of its own: `node ours.ts TASK`. A line on stdin is a step; its result goes to stdout as a line of JSON. */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Ready, Task } from '../workload/task.ts';
import { trainingStep } from './trainingStep.ts';

const say = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const version = (name: string): string =>
  (
    JSON.parse(
      readFileSync(new URL(`../../node_modules/${name}/package.json`, import.meta.url), 'utf8'),
    ) as { version: string }
  ).version;

const step = await trainingStep(JSON.parse(process.argv[2]!) as Task);
say({
  versions: { node: process.versions.node, 'onnxruntime-node': version('onnxruntime-node') },
} satisfies Ready);
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== 'step') throw new Error(`internal: unknown command ${line}`);
  say(await step.run());
}
await step.dispose();
