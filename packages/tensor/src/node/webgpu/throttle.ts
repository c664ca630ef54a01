/** @file Dawn's Node bindings ask for results with `setImmediate`, over and over, which takes a whole core from a device that computes on the processor. */

let installed = false;
let waiting = 0;

/** While `work` waits for a software device, `setImmediate` comes a millisecond later. */
export async function patiently<T>(work: Promise<T>): Promise<T> {
  install();
  waiting++;
  try {
    return await work;
  } finally {
    waiting--;
  }
}

function install(): void {
  if (installed) return;
  installed = true;
  const original = globalThis.setImmediate;
  // Dawn looks it up at each poll.
  globalThis.setImmediate = Object.assign(
    (callback: (...args: unknown[]) => void, ...args: unknown[]) =>
      waiting > 0
        ? (setTimeout(callback, 1, ...args) as unknown as NodeJS.Immediate)
        : original(callback, ...args),
    { __promisify__: original.__promisify__ },
  ) as typeof setImmediate;
}
