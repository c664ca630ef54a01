/** @file node process.ts ENGINE: an engine in a process of its own, which does what lines of its stdin say (type Order) and answers in lines (type Answer). */
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { caseOf, numbersOf } from './cases.ts';
import { provideGpu } from './dawn.ts';
import type { Answer, EngineName, Order, Prepare, Prepared } from './engine.ts';

const engines: Readonly<Record<EngineName, () => Promise<{ prepare: Prepare }>>> = {
  sdft: () => import('./ours.ts'),
  'jax-js': () => import('./jax.ts'),
  tfjs: () => import('./tfjs.ts'),
  'onnxruntime-web': () => import('./ort.ts'),
};

// Stdout is for answers; engines talk, too.
const answer = (one: Answer): void => void process.stdout.write(`${JSON.stringify(one)}\n`);
for (const level of ['log', 'info', 'warn'] as const) console[level] = console.error;

async function guarded(work: () => Promise<Answer>): Promise<void> {
  try {
    answer(await work());
  } catch (error) {
    answer({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}

let prepare: Prepare | undefined;
let prepared: Prepared | undefined;

async function timed(runs: number): Promise<Answer> {
  const one = prepared!;
  const start = performance.now();
  for (let i = 0; i < runs; i++) await one.run();
  await one.done();
  return { seconds: (performance.now() - start) / 1000 / runs };
}

async function obey(order: Order): Promise<Answer> {
  if (order.kind === 'time') return timed(order.runs);
  await prepared?.dispose();
  prepared = undefined;
  const one = caseOf(order.case);
  prepared = await prepare!(one, numbersOf(one));
  await timed(1);
  writeFileSync(order.result, await prepared.result());
  // Once more with everything compiled, to tell how often a round runs it.
  return timed(1);
}

const name = process.argv[2] as EngineName;
await guarded(async () => {
  const adapter = await provideGpu();
  ({ prepare } = await engines[name]());
  return { adapter };
});
for await (const line of createInterface({ input: process.stdin }))
  await guarded(() => obey(JSON.parse(line) as Order));
process.exit(0);
