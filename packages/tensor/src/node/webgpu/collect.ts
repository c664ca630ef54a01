/** @file Memory that only the garbage collector gives back. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

let collector: (() => void) | undefined;

/**
 * Frees what nothing refers to any more.
 *
 * WebGPU has no `destroy` for pipelines, bind groups and command buffers. To V8 they are objects of some bytes, so that it sees no need to collect them; behind each, Dawn and the driver hold kilobytes
 * or, of a compiled pipeline, megabytes.
 */
export async function collect(): Promise<void> {
  collector ??= globalThis.gc ? () => void globalThis.gc!() : exposed();
  collector();
  // Node runs the finalizers of a collection in a turn of their own.
  await new Promise((done) => setImmediate(done));
}

function exposed(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
