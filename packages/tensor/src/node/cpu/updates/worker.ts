/** @file A thread that runs update kernels over its share of the elements. */
import { parentPort } from 'node:worker_threads';

/** One kernel with what it works on. */
export interface UpdateJob {
  readonly source: string;
  readonly from: number;
  readonly to: number;
  readonly operands: readonly UpdateOperand[];
}
/** An array of float32 or of truth values; of a scalar the one element is given to the kernel. */
export interface UpdateOperand {
  readonly type: 'float32' | 'bool';
  readonly buffer: SharedArrayBuffer;
  readonly scalar: boolean;
}
export type UpdateReply = { readonly error?: string };

type Kernel = (
  from: number,
  to: number,
  operands: readonly (Float32Array | Uint8Array | number)[],
  round: (x: number) => number,
) => void;
const kernels = new Map<string, Kernel>();

/** A kernel's source holds fixed spellings and numbers of the graph, and nothing that came from a file. */
function kernelOf(source: string): Kernel {
  const known = kernels.get(source);
  if (known) return known;
  const made = new Function('from', 'to', 'o', 'f', `"use strict";\n${source}`) as Kernel;
  kernels.set(source, made);
  return made;
}

/** What each run does, in the memory that it was last told of. */
let work: readonly (() => void)[] = [];

function prepared({ source, from, to, operands }: UpdateJob): () => void {
  const kernel = kernelOf(source);
  const views = operands.map(({ type, buffer, scalar }) => ({
    view: type === 'float32' ? new Float32Array(buffer) : new Uint8Array(buffer),
    scalar,
  }));
  return () =>
    kernel(
      from,
      to,
      views.map(({ view, scalar }) => (scalar ? view[0]! : view)),
      Math.fround,
    );
}

parentPort!.on('message', (jobs: readonly UpdateJob[] | 'again') => {
  try {
    if (jobs !== 'again') work = jobs.map(prepared);
    for (const run of work) run();
    parentPort!.postMessage({} satisfies UpdateReply);
  } catch (error) {
    parentPort!.postMessage({ error: String(error) } satisfies UpdateReply);
  }
});
