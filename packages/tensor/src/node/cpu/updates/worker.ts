/** @file A thread that runs update kernels over its share of the elements. */
import { parentPort } from 'node:worker_threads';

/** One kernel with what it works on. */
export interface UpdateJob {
  readonly source: string;
  readonly from: number;
  readonly to: number;
  /** An array of float32 or of truth values, or one number. */
  readonly operands: readonly (
    | { readonly type: 'float32' | 'bool'; readonly buffer: SharedArrayBuffer }
    | number
  )[];
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

parentPort!.on('message', (jobs: readonly UpdateJob[]) => {
  try {
    for (const { source, from, to, operands } of jobs)
      kernelOf(source)(
        from,
        to,
        operands.map((operand) =>
          typeof operand === 'number'
            ? operand
            : operand.type === 'float32'
              ? new Float32Array(operand.buffer)
              : new Uint8Array(operand.buffer),
        ),
        Math.fround,
      );
    parentPort!.postMessage({} satisfies UpdateReply);
  } catch (error) {
    parentPort!.postMessage({ error: String(error) } satisfies UpdateReply);
  }
});
